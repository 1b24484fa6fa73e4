"""Faust at the speed of the Kafka client, in small parts.

``acks``      which offsets may be committed: in order, up to the first unfinished chunk
``chunks``    a *chunk*: up to a thousand records of one partition, delivered as one message
``consumer``  Faust's consumer, delivering chunks through Faust's own conductor and streams
``garbage``   garbage collection by the clock
``lease``     how long a worker may believe that its partitions are its own
``packed``    a stage record that carries many events
``producer``  batches of records whose confirmation is awaited
``recovery``  changelogs on their way back into the tables, as chunks and without holes
``stores``    where the rows of a partition live: RocksDB or memory
``tables``    Faust tables that are read per key and written per chunk

Stock Faust pays for four asyncio tasks, a conductor call, a stream iteration and an
acknowledgement for each record. Here it pays for each chunk; agents stay ordinary Faust
agents. README.md in this folder explains how it hooks in.
"""
