"use strict";
// The index of all pictures, the details of photos (loaded when they are looked at), and small tools to build elements.

let index = null;
const arrived = new Map(); // by part: what waits for its details

// Called by the script of the index and by those of the parts; `text` is JSON.
function galleryIndex(text) {
  index = JSON.parse(text);
}

function galleryPart(number, text) {
  arrived.get(number).resolve(JSON.parse(text));
}

// The details of one photo. Scripts can be read from disk, where fetch cannot.
async function detailsOf(photo) {
  const number = Math.floor(photo / index.photosPerPart);
  if (!arrived.has(number)) {
    const waiting = {};
    waiting.promise = new Promise((resolve, reject) => Object.assign(waiting, { resolve, reject }));
    arrived.set(number, waiting);
    const script = document.createElement("script");
    script.src = `${index.folder}/part_${String(number).padStart(5, "0")}.js`;
    script.onerror = () => waiting.reject(new Error(`${script.src} is missing; make the page again`));
    document.head.append(script);
  }
  const part = await arrived.get(number).promise;
  return part[photo % index.photosPerPart];
}

const SHOWN = 1, MISSING = 3; // states of a picture

// One picture by its number, with what the index says of it and of its photo.
function pictureOf(number) {
  const { pictures, photos, names } = index;
  const photo = pictures.photo[number];
  const place = names.place[photos.place[photo]];
  const file = (place ? `${place}/` : "") + pictures.file[number];
  return {
    number, photo, place, file,
    state: pictures.state[number],
    thumbnail: `${index.folder}/thumbnails/${file}.webp`,
    light: pictures.light[number],
    path: photos.path[photo],
    run: names.run[photos.run[photo]],
    split: names.split[photos.split[photo]],
    score: photos.score[photo],
    pattern: names.pattern[pictures.pattern[number]],
    setup: names.setup[pictures.setup[number]],
    environment: names.environment[pictures.environment[number]],
    azimuth: pictures.azimuth[number],
    elevation: pictures.elevation[number],
    instruction: pictures.instruction[number],
  };
}

const spaced = (name) => name.replaceAll("_", " ");

// An element with properties and children. Texts become text nodes, never HTML.
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function drawn(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const byId = (id) => document.getElementById(id);
