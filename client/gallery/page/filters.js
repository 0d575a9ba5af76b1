// The filters: which pictures and failures are selected, and in which order.

const CHOICES = [["run", "Run"], ["split", "Split"], ["pattern", "Pattern"], ["setup", "Lights"], ["environment", "Environment"], ["state", "File"]];
const STATES = { 1: "shown", 2: "no preview", 3: "missing" };
let texts = null; // of the pictures in lower case, made at the first search

// Add a select for each property in which the pictures differ; `changed` is called after every change.
function startFilters(changed) {
  const form = byId("filters");
  for (const [name, label] of CHOICES) {
    const used = new Set(column(name));
    if (used.size < 2) continue;
    const options = [...used].sort().map((value) => element("option", { value }, spaced(value) || "none"));
    const select = element("select", { id: `filter-${name}` }, element("option", { value: "*" }, "all"), ...options);
    form.insertBefore(element("label", {}, `${label} `, select), byId("sort").parentElement);
  }
  form.addEventListener("input", (event) => event.target.matches("input") && changed());
  form.addEventListener("change", (event) => event.target.matches("select") && changed());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(changed));
}

// A property of all pictures, by their numbers.
function column(name) {
  const { pictures, photos, names } = index;
  if (name === "state") return pictures.state.map((state) => STATES[state]);
  const of = name in pictures ? pictures[name] : pictures.photo.map((photo) => photos[name][photo]);
  return of.map((at) => names[name][at]);
}

// Select `value` in a filter, or all where it is selected already.
function chooseFilter(name, value) {
  const select = byId(`filter-${name}`);
  if (!select) return;
  select.value = select.value === value ? "*" : value;
  select.dispatchEvent(new Event("change", { bubbles: true }));
}

const words = () => byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
const bound = (id, otherwise) => (byId(id).value === "" ? otherwise : Number(byId(id).value));

function selectedPictures() {
  const { pictures, photos } = index;
  const tests = [];
  for (const [name] of CHOICES) {
    const chosen = byId(`filter-${name}`)?.value ?? "*";
    if (chosen === "*") continue;
    const of = column(name);
    tests.push((number) => of[number] === chosen);
  }
  const low = bound("score-low", -Infinity), high = bound("score-high", Infinity);
  const score = (number) => photos.score[pictures.photo[number]] ?? NaN;
  if (low > -Infinity || high < Infinity) tests.push((number) => score(number) >= low && score(number) <= high);
  const searched = words();
  if (searched.length) {
    texts ??= pictures.photo.map((photo, number) => textOf(photo, number).toLowerCase());
    tests.push((number) => searched.every((word) => texts[number].includes(word)));
  }
  const selected = pictures.photo.map((_, number) => number).filter((number) => tests.every((test) => test(number)));
  return sorted(selected, { score, ambient: (number) => pictures.ambient[number] });
}

function textOf(photo, number) {
  const { pictures, photos } = index;
  return [photos.path[photo], photos.text[photo], decodeURIComponent(pictures.file[number]), pictures.instruction[number]].join(" ");
}

function sorted(numbers, values) {
  const wanted = byId("sort").value;
  const value = values[wanted.replace("-", "")];
  if (!value) return numbers;
  return numbers.sort((a, b) => (wanted.startsWith("-") ? value(b) - value(a) : value(a) - value(b)) || a - b);
}

function selectedFailures() {
  const searched = words();
  const run = byId("filter-run")?.value ?? "*";
  return index.failures.filter((failure) => {
    const text = [failure.row, failure.path, failure.cause, failure.text].join(" ").toLowerCase();
    return (run === "*" || failure.run === run) && searched.every((word) => text.includes(word));
  });
}
