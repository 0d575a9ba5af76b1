// The charts above the grid: how lights and scores are distributed among all pictures, and among the selected ones.

const WIDTH = 168, HEIGHT = 84, BAR_NAMES = 12;

// Draw all charts; `selected` are numbers of pictures, `choose` is called with a filter's name and value.
function drawCharts(selected, choose) {
  const { pictures, photos } = index;
  const all = pictures.photo.map((_, number) => number);
  const score = (number) => photos.score[pictures.photo[number]];
  const column = (name) => (number) => pictures[name][number];
  byId("charts").replaceChildren(
    rose("Azimuth of main light", all, selected, column("azimuth")),
    histogram("Elevation, °", all, selected, column("elevation"), -90, 90, 18),
    histogram("Intensity", all, selected, column("intensity"), 0, highest(pictures.intensity), 20),
    histogram("Ambient light", all, selected, column("ambient"), 0, highest(pictures.ambient), 20),
    names("Patterns", all, selected, column("pattern"), index.names.pattern, (value) => choose("pattern", value)),
    names("Lights", all, selected, column("setup"), index.names.setup, (value) => choose("setup", value)),
    histogram("Score", all, selected, score, 0, 1, 20),
  );
}

const highest = (values) => Math.max(1, Math.ceil(2 * values.reduce((most, value) => Math.max(most, value ?? 0), 0)) / 2);

function counted(numbers, value, low, high, bins) {
  const counts = new Array(bins).fill(0);
  for (const number of numbers) {
    const of = value(number);
    if (of !== null) counts[Math.max(0, Math.min(bins - 1, Math.floor(((of - low) / (high - low)) * bins)))]++;
  }
  return counts;
}

// Both distributions are scaled to their own highest bar, so that their shapes can be compared.
function layers(all, selected, value, low, high, bins, draw) {
  return [[all, "all"], [selected, "selected"]].flatMap(([numbers, kind]) => {
    const counts = counted(numbers, value, low, high, bins);
    const most = Math.max(1, ...counts);
    return counts.flatMap((count, bin) => (count ? [draw(count, count / most, bin, kind)] : []));
  });
}

function chart(title, picture, ...below) {
  return element("figure", {}, element("figcaption", {}, title), picture, ...below);
}

function titled(shape, text) {
  shape.append(drawn("title", {}, text));
  return shape;
}

function histogram(title, all, selected, value, low, high, bins) {
  const step = WIDTH / bins;
  const edge = (bin) => Number((low + ((high - low) * bin) / bins).toFixed(2));
  const bars = layers(all, selected, value, low, high, bins, (count, share, bin, kind) => titled(
    drawn("rect", { class: kind, x: bin * step + 0.5, width: step - 1, y: HEIGHT * (1 - share), height: HEIGHT * share }),
    `${edge(bin)} to ${edge(bin + 1)}: ${count}`,
  ));
  const present = selected.map(value).filter((of) => of !== null);
  const mean = present.length ? (present.reduce((sum, of) => sum + of, 0) / present.length).toFixed(2) : "–";
  const axis = element("p", { className: "axis" }, element("span", {}, `${low}`), element("span", {}, `mean ${mean}`), element("span", {}, `${high}`));
  const label = `${title}: ${present.length} selected, mean ${mean}`;
  return chart(title, drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...bars), axis);
}

// As the camera sees it: 0° is from the right, 90° from below.
function rose(title, all, selected, value) {
  const bins = 24, radius = HEIGHT / 2 + 8, middle = radius + 2;
  const point = (angle, reach) => `${middle + reach * Math.cos(angle)} ${middle + reach * Math.sin(angle)}`;
  const petals = layers(all, selected, value, 0, 360, bins, (count, share, bin, kind) => {
    const [from, to] = [bin, bin + 1].map((edge) => (edge * 2 * Math.PI) / bins);
    const reach = radius * Math.sqrt(share); // areas, not lengths, are compared
    const path = `M ${middle} ${middle} L ${point(from, reach)} A ${reach} ${reach} 0 0 1 ${point(to, reach)} Z`;
    return titled(drawn("path", { class: kind, d: path }), `${bin * 15}° to ${bin * 15 + 15}°: ${count}`);
  });
  const lit = selected.filter((number) => value(number) !== null).length;
  const circle = drawn("circle", { class: "frame", cx: middle, cy: middle, r: radius });
  const box = { viewBox: `0 0 ${2 * middle} ${2 * middle}`, role: "img", class: "rose", "aria-label": `${title}: ${lit} selected` };
  return chart(title, drawn("svg", box, circle, ...petals));
}

function names(title, all, selected, value, texts, choose) {
  const whole = counted(all, value, 0, texts.length, texts.length);
  const some = counted(selected, value, 0, texts.length, texts.length);
  const most = Math.max(1, ...whole);
  const order = texts.map((_, at) => at).sort((a, b) => whole[b] - whole[a]);
  const rows = order.slice(0, BAR_NAMES).map((at) => {
    const bars = [[whole, "all"], [some, "selected"]].map(([counts, kind]) => {
      const bar = element("i", { className: kind });
      bar.style.width = `${(100 * counts[at]) / most}%`;
      return bar;
    });
    const label = `${spaced(texts[at])}: ${some[at]} of ${whole[at]}`;
    const button = element("button", { type: "button", title: label, "aria-label": label }, ...bars, element("span", {}, spaced(texts[at])), element("b", {}, `${some[at]}`));
    button.addEventListener("click", () => choose(texts[at]));
    return element("li", {}, button);
  });
  return chart(title, element("ul", { className: "names" }, ...rows));
}
