// The page as a whole: what is shown, the list of failures, and the keys that work everywhere.

const MOST_FAILURES = 1000; // in the list; the search finds the others
const shown = { failures: false };

function changed() {
  const pictures = selectedPictures(), failures = selectedFailures();
  const total = index.pictures.photo?.length ?? 0;
  byId("counts").textContent = `${pictures.length.toLocaleString("en")} of ${total.toLocaleString("en")} pictures`;
  byId("show-failures").textContent = `Failures ${failures.length.toLocaleString("en")}`;
  drawCharts(pictures, chooseFilter);
  showGrid(pictures);
  listFailures(failures);
  display();
  const none = shown.failures ? !failures.length : !pictures.length;
  byId("empty").hidden = !none;
  byId("empty").textContent = shown.failures ? "No failure." : "No picture is like that. Clear a filter.";
}

function display() {
  byId("grid").hidden = byId("charts").hidden = shown.failures;
  byId("failures").hidden = !shown.failures;
  for (const filter of byId("filters").children) filter.hidden = shown.failures && !filter.matches(".wide, #reset, :has(#filter-run)");
  byId("show-pictures").setAttribute("aria-pressed", !shown.failures);
  byId("show-failures").setAttribute("aria-pressed", shown.failures);
}

function listFailures(failures) {
  const causes = new Map();
  for (const { cause } of failures) {
    const kind = cause.replace(/\S*[\d/\\]\S*/g, "…"); // without paths and numbers, which differ from row to row
    causes.set(kind, (causes.get(kind) ?? 0) + 1);
  }
  const summary = [...causes].sort((a, b) => b[1] - a[1]).slice(0, 8);
  const kinds = element("ul", { className: "causes" }, ...summary.map(([kind, count]) => element("li", {}, element("b", {}, `${count} × `), kind)));
  const heads = ["Run", "Row", "Photo", "Reason"].map((text) => element("th", { scope: "col" }, text));
  const rows = failures.slice(0, MOST_FAILURES).map((failure) =>
    element("tr", {}, ...[failure.run, failure.row, failure.path, failure.cause].map((text, at) => element("td", { "data-head": heads[at].textContent }, text))));
  const left = failures.length - rows.length;
  const list = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
  byId("failures").replaceChildren(...(failures.length ? [kinds, list] : []), ...(left > 0 ? [element("p", {}, `${left} more: search for them.`)] : []));
}

function typing(target) {
  return target.matches?.("input, select, textarea");
}

function start() {
  if (!index) {
    byId("counts").textContent = "The folder __gallery__ beside this page is missing; keep both together, or make the page again.";
    return;
  }
  index.pictures.photo ??= []; // a run without pictures has no columns
  for (const name of ["state", "file", "light", "instruction", "azimuth", "elevation", "intensity", "ambient"]) index.pictures[name] ??= [];
  startGrid(openDetail);
  startDetail();
  startFilters(changed);
  for (const [id, failures] of [["show-pictures", false], ["show-failures", true]]) {
    byId(id).addEventListener("click", () => {
      shown.failures = failures;
      changed();
    });
  }
  addEventListener("keydown", (event) => {
    if (byId("detail").open) return;
    if (event.key === "/" && !typing(event.target)) {
      byId("search").focus();
      event.preventDefault();
    } else if (event.key === "Escape" && typing(event.target)) {
      byId("search").value = "";
      changed();
      byId("grid").focus({ preventScroll: true });
    } else if (event.key.startsWith("Arrow") && event.target === document.body && !shown.failures) {
      byId("grid").focus({ preventScroll: true });
      moveTo(grid.current);
      event.preventDefault();
    }
  });
  shown.failures = !index.pictures.photo.length && index.failures.length > 0;
  changed();
  document.documentElement.dataset.ready = Math.round(performance.now()); // ms since the page was opened
}

addEventListener("DOMContentLoaded", start);
