// The light dial: a white ball under the light of one picture, and where each source stands around it.

const DIAL = 168; // pixels, and the ball's share of it, so that sources have room outside
const BALL = 0.74;

const srgb = (linear) => 255 * (linear <= 0.0031308 ? 12.92 * linear : 1.055 * Math.pow(linear, 1 / 2.4) - 0.055);

// What a white surface returns whose unit normal is (x, y, z): +x right, +y down, +z toward the camera.
function returned(light, x, y, z) {
  const harmonics = [1, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y];
  const rgb = [0, 0, 0];
  light.irradiance.forEach((coefficient, at) => coefficient.forEach((of, channel) => (rgb[channel] += of * harmonics[at])));
  for (const source of light.sources) {
    const facing = x * source.direction_x + y * source.direction_y + z * source.direction_z;
    const reach = Math.max(0, facing) * source.intensity;
    rgb[0] += reach * source.color_red;
    rgb[1] += reach * source.color_green;
    rgb[2] += reach * source.color_blue;
  }
  return rgb.map((value) => Math.max(0, value));
}

// Where the light is brighter than white, the whole ball is darkened until it is not.
function drawBall(context, light, size) {
  const radius = (size * BALL) / 2;
  const image = context.createImageData(size, size);
  const pixels = [];
  let most = 1;
  for (let at = 0; at < size * size; at++) {
    const x = ((at % size) + 0.5 - size / 2) / radius, y = (Math.floor(at / size) + 0.5 - size / 2) / radius;
    const distance = Math.hypot(x, y), edge = Math.max(1, distance);
    if (distance > 1.02) continue;
    const rgb = returned(light, x / edge, y / edge, Math.sqrt(1 - Math.min(1, distance) ** 2));
    most = Math.max(most, ...rgb);
    pixels.push([4 * at, rgb, 255 * Math.min(1, (1.02 - distance) / 0.03)]);
  }
  for (const [at, rgb, alpha] of pixels) image.data.set([...rgb.map((value) => srgb(value / most)), alpha], at);
  context.putImageData(image, 0, 0);
}

// The colour of a source at full brightness, as CSS.
function colorOf(source) {
  const most = Math.max(source.color_red, source.color_green, source.color_blue, 1e-6);
  const rgb = [source.color_red, source.color_green, source.color_blue].map((of) => Math.round(srgb(of / most)));
  return `rgb(${rgb.join(" ")})`;
}

// A canvas of the ball, and markers at the sources' places: filled in front, a ring behind the person.
function dial(light) {
  const scale = Math.min(2, window.devicePixelRatio || 1);
  const size = Math.round(DIAL * scale);
  const canvas = element("canvas", { width: size, height: size });
  drawBall(canvas.getContext("2d"), light, size);
  const middle = DIAL / 2, reach = middle - 10;
  const markers = [...light.sources].reverse().map((source) => {
    const at = { cx: middle + reach * source.direction_x, cy: middle + reach * source.direction_y };
    const radius = 4 + 5 * Math.sqrt(Math.min(1, source.intensity));
    const behind = source.direction_z < 0;
    const style = behind ? `fill: none; stroke: ${colorOf(source)}` : `fill: ${colorOf(source)}`;
    const marker = drawn("circle", { ...at, r: radius, class: behind ? "source behind" : "source" });
    marker.style.cssText = style;
    const line = drawn("line", { class: "ray", x1: middle, y1: middle, x2: at.cx, y2: at.cy });
    return drawn("g", {}, line, titled(marker, sourceText(source)));
  });
  const label = `White ball under this light: ${light.sources.map(sourceText).join("; ") || "light from all around"}`;
  const frame = drawn("svg", { viewBox: `0 0 ${DIAL} ${DIAL}`, role: "img", "aria-label": label }, ...markers);
  return element("div", { className: "dial" }, canvas, frame);
}

function sourceText(source) {
  return `${source.kind}, azimuth ${source.azimuth.toFixed(0)}°, elevation ${source.elevation.toFixed(0)}°`;
}

// The sources in words, each with a swatch of its colour.
function sourceList(light) {
  const lines = light.sources.map((source) => {
    const swatch = element("i", { className: source.direction_z < 0 ? "swatch behind" : "swatch" });
    swatch.style.setProperty("--color", colorOf(source));
    const parts = [`intensity ${source.intensity.toFixed(2)}`, `${source.angular_size.toFixed(0)}° across`];
    if (source.pattern !== "none") parts.push(spaced(source.pattern));
    return element("li", {}, swatch, element("span", {}, element("b", {}, source.kind), ` ${Math.round(source.azimuth)}° around, ${Math.round(source.elevation)}° up`, element("br"), element("small", {}, parts.join(", "))));
  });
  const around = light.environment
    ? `environment ${spaced(light.environment.name)}, turned by ${light.environment.azimuth.toFixed(0)}°, exposure ${light.environment.exposure.toFixed(2)}`
    : `ambient ${(light.ambient ?? light.irradiance[0][1]).toFixed(2)}`;
  lines.push(element("li", {}, element("i", { className: "swatch around" }), element("span", {}, around)));
  return element("ul", { className: "sources" }, ...lines);
}
