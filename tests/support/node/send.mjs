// NAME URL KEY COUNT RATE: has the library send and flush; see ../clients.py.
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const [name, url, key, count, rate] = process.argv.slice(2);
// From the folder that this is run in: the libraries are installed there.
const require = createRequire(`${process.cwd()}/`);
const ids = [];
const errors = [];
const pause = 1000 / Number(rate);

async function send(call) {
  for (let number = 0; number < Number(count); number += 1) {
    const messageId = `${name}-${number}`;
    ids.push(messageId);
    call(`${name}-person-${number % 7}`, messageId, number);
    if (number % 10 === 0) await sleep(pause * 10);
  }
}

const libraries = {
  async segment() {
    const { Analytics } = require("@segment/analytics-node");
    const client = new Analytics({ writeKey: key, host: url });
    client.on("error", (error) => errors.push(String(error.reason ?? error.code)));
    await send((userId, messageId, number) =>
      client.track({ userId, messageId, event: "Clicked", properties: { number } }),
    );
    await client.closeAndFlush({ timeout: 120_000 });
  },
  async rudder() {
    const Analytics = require("@rudderstack/rudder-sdk-node");
    const errorHandler = (error) => errors.push(String(error));
    const gzip = name.endsWith("gzip");
    const client = new Analytics(key, { dataPlaneUrl: url, gzip, errorHandler, retryCount: 20 });
    await send((userId, messageId, number) =>
      client.track({ userId, messageId, event: "Clicked", properties: { number } }),
    );
    await client.flush();
  },
};
await libraries[name.split("-")[0]]();
console.log(JSON.stringify({ ids, errors }));
