"""Historical logs, through the pipeline once more (docs/replay.md).

Read (:mod:`sources`, :mod:`formats`, :mod:`filters`), put in order (:mod:`order`), then
produce (:mod:`produce`) at the pace that leaves room for live traffic (:mod:`pace`).
"""
