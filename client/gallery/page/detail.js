// The view of one picture: a slider between before and after, its other files, its light, instruction and numbers.

const BEFORE = ["input", "foreground", "albedo"]; // what a picture is compared with, the first that there is
const AFTER = ["output", "degraded"];
const BOTH = "before / after";
const detail = { position: 0, view: BOTH, asked: 0 };

function startDetail() {
  const dialog = byId("detail"), slider = byId("slider");
  byId("close").addEventListener("click", () => dialog.close());
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    moveTo(detail.position);
    byId("grid").focus({ preventScroll: true });
  });
  dialog.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key in steps && event.target !== slider) {
      step(steps[event.key]);
      event.preventDefault();
    }
  });
  slider.addEventListener("input", placeDivider);
  for (const image of [byId("before"), byId("after")]) {
    image.addEventListener("error", () => complain(image));
  }
}

function step(by) {
  const position = detail.position + by;
  if (position >= 0 && position < grid.numbers.length) openDetail(position);
}

// Open the picture at this position of the grid.
async function openDetail(position) {
  const dialog = byId("detail");
  const picture = pictureOf(grid.numbers[position]);
  detail.position = position;
  const asked = ++detail.asked;
  byId("detail-title").textContent = `${picture.path} · ${decodeURIComponent(picture.file).split("/").pop()}`;
  byId("previous").disabled = position === 0;
  byId("next").disabled = position === grid.numbers.length - 1;
  if (!dialog.open) dialog.showModal();
  try {
    const details = await detailsOf(picture.photo);
    if (asked === detail.asked) fill(picture, details); // else another was opened meanwhile
  } catch (error) {
    byId("facts").replaceChildren(element("p", {}, error.message));
  }
}

function fill(picture, details) {
  const files = filesOf(picture, details);
  const before = BEFORE.find((kind) => files.has(kind)), after = AFTER.find((kind) => files.has(kind));
  const views = [...(before && after ? [BOTH] : []), ...files.keys()];
  if (!views.includes(detail.view)) detail.view = views[0];
  const show = (view) => {
    detail.view = view;
    for (const button of byId("views").children) button.setAttribute("aria-pressed", button.textContent === view);
    const both = view === BOTH;
    byId("stage").classList.toggle("both", both);
    byId("unshown").hidden = true;
    setImage(byId("after"), files.get(both ? after : view), `${both ? after : view} of ${picture.path}: ${picture.instruction}`);
    setImage(byId("before"), both ? files.get(before) : null, `${before} of ${picture.path}`);
    placeDivider();
  };
  const buttons = views.map((view) => {
    const button = element("button", { type: "button" }, view);
    button.addEventListener("click", () => show(view));
    return button;
  });
  byId("views").replaceChildren(...buttons);
  const { width, height } = details.numbers;
  byId("stage").style.setProperty("--ratio", width && height ? width / height : 1);
  show(detail.view);
  const light = details.lights[picture.light];
  byId("facts").replaceChildren(...factsOf(picture, details, light, files));
}

// The files of one picture by their kinds: of those that each light has, this light's.
function filesOf(picture, details) {
  const files = new Map();
  for (const kind of [...AFTER, ...BEFORE, ...Object.keys(details.files)]) {
    const names = Object.hasOwn(details.files, kind) ? details.files[kind] : [];
    const name = names.length === 1 ? names[0] : names[picture.light];
    if (name) files.set(kind, { url: (picture.place ? `${picture.place}/` : "") + name, dark: details.dark.includes(kind) });
  }
  return files;
}

function setImage(image, file, alt) {
  image.hidden = !file;
  if (!file) return image.removeAttribute("src");
  image.alt = alt;
  image.style.filter = file.dark ? "url(#brighter)" : "";
  image.src = file.url;
}

function complain(image) {
  image.hidden = true;
  const name = decodeURIComponent(image.getAttribute("src") ?? "").split("/").pop();
  byId("unshown").textContent = `A browser cannot show ${name}: the file is missing, or of a format for other programs.`;
  byId("unshown").hidden = false;
}

function placeDivider() {
  const share = byId("slider").value;
  byId("before").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  byId("divider").style.left = `${share}%`;
}

function factsOf(picture, details, light, files) {
  const instructions = (light.instructions ?? []).filter((text) => text !== light.instruction);
  const other = instructions.length
    ? [element("details", {}, element("summary", {}, "in other words"), element("ul", {}, ...instructions.map((text) => element("li", {}, text))))]
    : [];
  const about = { run: picture.run, split: picture.split, ...details.numbers };
  const scene = Object.fromEntries(Object.entries(light).filter(([, value]) => ["number", "string"].includes(typeof value)));
  delete scene.instruction;
  return [
    element("p", { className: "instruction" }, light.instruction ?? ""),
    ...other,
    element("h3", {}, "Light"),
    element("div", { className: "lit" }, dial(light), sourceList(light)),
    element("h3", {}, "Files"),
    element("ul", { className: "files" }, ...[...files].map(([kind, file]) => fileLine(kind, file))),
    ...table("Row of the table", details.row),
    ...table("Photo", about),
    ...table("Scene", scene),
  ];
}

function fileLine(kind, file) {
  return element("li", {}, `${kind} `, element("a", { href: file.url, target: "_blank" }, decodeURIComponent(file.url)));
}

function table(title, values) {
  const rows = Object.entries(values).filter(([, value]) => value !== "" && value !== null);
  if (!rows.length) return [];
  const lines = rows.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, spaced(name)), element("td", {}, shownValue(value))));
  return [element("h3", {}, title), element("table", {}, element("tbody", {}, ...lines))];
}

function shownValue(value) {
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  return typeof value === "string" ? value : JSON.stringify(value);
}
