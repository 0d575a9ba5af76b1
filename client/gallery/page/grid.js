// The grid: only the cells in view are in the document, whatever the number of pictures.

const GAP = 10, SMALLEST = 168, CAPTION = 42, ROWS_BEYOND = 2;
const grid = { numbers: [], columns: 1, side: SMALLEST, current: 0, cells: new Map(), asked: false };

function startGrid(open) {
  const list = byId("grid");
  grid.open = open;
  addEventListener("scroll", renderSoon, { passive: true });
  new ResizeObserver(() => layGrid()).observe(list);
  list.addEventListener("click", (event) => {
    const cell = event.target.closest("[role=option]");
    if (cell) grid.open(Number(cell.dataset.position));
  });
  list.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(innerHeight / rowHeight())) * grid.columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns, ArrowDown: grid.columns, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    if (event.key in steps) moveTo(grid.current + steps[event.key]);
    else if (event.key === "Enter" || event.key === " ") grid.open(grid.current);
    else return;
    event.preventDefault();
  });
}

// Show these pictures, by their numbers, from the first on.
function showGrid(numbers) {
  grid.numbers = numbers;
  grid.current = 0;
  clearCells();
  layGrid();
  const above = byId("grid").getBoundingClientRect().top - belowFilters();
  if (above < 0) scrollBy(0, above);
}

const belowFilters = () => byId("filters").getBoundingClientRect().bottom + GAP;

function moveTo(position) {
  if (!grid.numbers.length) return;
  grid.current = Math.max(0, Math.min(grid.numbers.length - 1, position));
  const list = byId("grid").getBoundingClientRect();
  const top = list.top + Math.floor(grid.current / grid.columns) * rowHeight();
  const over = top + rowHeight() - innerHeight;
  if (top < belowFilters()) scrollBy(0, top - belowFilters());
  else if (over > 0) scrollBy(0, over + GAP);
  render();
}

const rowHeight = () => grid.side + CAPTION + GAP;

function clearCells() {
  for (const cell of grid.cells.values()) cell.remove();
  grid.cells.clear();
}

function layGrid() {
  const list = byId("grid");
  const width = list.clientWidth;
  if (!width) return;
  const columns = Math.max(2, Math.floor((width + GAP) / (SMALLEST + GAP)));
  const side = Math.floor((width - GAP * (columns - 1)) / columns);
  if (columns !== grid.columns || side !== grid.side) clearCells();
  Object.assign(grid, { columns, side });
  list.style.height = `${Math.ceil(grid.numbers.length / columns) * rowHeight()}px`;
  render();
}

function renderSoon() {
  if (grid.asked) return;
  grid.asked = true;
  requestAnimationFrame(() => {
    grid.asked = false;
    render();
  });
}

function render() {
  const list = byId("grid");
  const top = -list.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / rowHeight()) - ROWS_BEYOND) * grid.columns;
  const last = Math.min(grid.numbers.length, (Math.ceil((top + innerHeight) / rowHeight()) + ROWS_BEYOND) * grid.columns);
  for (const [position, cell] of grid.cells) {
    if (position < first || position >= last) {
      cell.remove();
      grid.cells.delete(position);
    }
  }
  for (let position = first; position < last; position++) {
    if (!grid.cells.has(position)) {
      const cell = cellOf(position);
      grid.cells.set(position, cell);
      list.append(cell);
    }
    grid.cells.get(position).setAttribute("aria-selected", position === grid.current);
  }
  if (grid.cells.has(grid.current)) list.setAttribute("aria-activedescendant", `cell-${grid.current}`);
  else list.removeAttribute("aria-activedescendant");
}

function cellOf(position) {
  const picture = pictureOf(grid.numbers[position]);
  const cell = element("div", {
    role: "option", id: `cell-${position}`, className: "cell", title: picture.instruction,
    "aria-posinset": position + 1, "aria-setsize": grid.numbers.length,
  });
  cell.dataset.position = position;
  const column = position % grid.columns, row = Math.floor(position / grid.columns);
  cell.style.cssText = `width: ${grid.side}px; height: ${grid.side + CAPTION}px; transform: translate(${column * (grid.side + GAP)}px, ${row * rowHeight()}px)`;
  const frame = element("div", { className: "frame" }, pictureIn(picture), lightMark(picture));
  const about = [picture.pattern === "none" ? picture.setup : spaced(picture.pattern), picture.score?.toFixed(2)];
  cell.append(frame, element("div", { className: "name" }, picture.path), element("div", { className: "note" }, about.filter(Boolean).join(" · ")));
  return cell;
}

function pictureIn(picture) {
  const alt = picture.instruction || picture.path;
  if (picture.state !== SHOWN) return element("p", { className: "lost" }, picture.state === MISSING ? "the file is missing" : "no preview");
  return element("img", { src: picture.thumbnail, alt, loading: "lazy", decoding: "async", draggable: false });
}

// A small disc as the camera sees it, with the main light's place: filled in front of the person, a ring behind.
function lightMark(picture) {
  if (picture.azimuth === null) return null;
  const around = (picture.azimuth * Math.PI) / 180, up = (picture.elevation * Math.PI) / 180;
  const at = { cx: 12 + 8 * Math.cos(up) * Math.cos(around), cy: 12 + 8 * Math.cos(up) * Math.sin(around), r: 3 };
  const disc = drawn("circle", { cx: 12, cy: 12, r: 10.5, class: "disc" });
  return drawn("svg", { viewBox: "0 0 24 24", class: "mark", "aria-hidden": "true" }, disc, drawn("circle", { ...at, class: up < 0 ? "behind" : "front" }));
}
