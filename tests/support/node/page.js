// In a page of a browser: has @segment/analytics-next make calls; see ../browser.py.
const { analytics: settings, scenario, count } = JSON.parse(document.body.dataset.task);
const tell = (what, data) => fetch(`/${what}`, { method: "POST", body: JSON.stringify(data) });

addEventListener("error", (event) => tell("failure", String(event.message)));
addEventListener("unhandledrejection", (event) => tell("failure", String(event.reason)));

const analytics = AnalyticsNext.AnalyticsBrowser.load(settings);
analytics.on("error", (error) => tell("failure", `${error.code}: ${error.reason}`));

const scenarios = {
  // One visitor: looks around, signs up, logs out; someone else comes.
  async visit() {
    return [
      await analytics.page("Docs", "Home", { x: 1 }),
      await analytics.identify("user-1", { email: "ada@example.com" }),
      await analytics.track("Order Completed", { revenue: 19.99 }),
      await analytics.group("group-9", { name: "Initech" }),
      await analytics.screen("Main"),
      await analytics.alias("user-2", "user-1"),
      (await analytics.reset()) ?? (await analytics.page()),
    ];
  },
  // All at once, as a page that was offline does.
  async crowd() {
    const numbers = [...Array(count).keys()];
    return Promise.all(numbers.map((number) => analytics.track("Clicked", { number })));
  },
};

scenarios[scenario]().then((contexts) => tell("calls", contexts.map(({ event }) => event)));
