/* Shards: loaded by adding a script element, which a page opened from a file may do, unpacked, and the latest kept. */
(function (dsae) {
  "use strict";
  // Of the shards that come in numbers; what has no number stays, and whole atoms, which are few and all wanted at once.
  var KEPT = 20;
  var ITEMS_KEPT = 2000;
  var held = new Map(), waiting = {}, failed = {}, rows = new Map(), latents = new Map();
  var TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, i1: Int8Array, i4: Int32Array, f4: Float32Array };

  function bytes(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    var raw = atob(text), made = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i++) made[i] = raw.charCodeAt(i);
    return made;
  }

  function unpack(buffer) {
    var n = new DataView(buffer).getUint32(0, true), start = 4 + n;
    return JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, n)), function (key, value) {
      return value && value.$ ? new TYPES[value.$](buffer, start + value.at, value.n) : value;
    });
  }

  // What a file calls when it has been loaded.
  window.D = function (name, text) {
    var stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    new Response(stream).arrayBuffer().then(unpack).then(function (value) { settle(name, value); }, function (error) { fail(name, error); });
  };

  function settle(name, value) {
    held.set(name, value);
    var numbered = Array.from(held.keys()).filter(function (key) { return key.indexOf("/") > 0 && key.indexOf("decoder/") !== 0; });
    numbered.slice(0, Math.max(numbered.length - KEPT, 0)).forEach(function (key) { held.delete(key); });
    var asked = waiting[name] || [];
    delete waiting[name];
    asked.forEach(function (pair) { pair[0](value); });
    dsae.redraw();
  }

  function fail(name, error) {
    failed[name] = error.message || String(error);
    var asked = waiting[name] || [];
    delete waiting[name];
    asked.forEach(function (pair) { pair[1](error); });
    dsae.redraw();
  }

  function start(name) {
    var inside = document.querySelector('script[data-shard="' + name + '"]');
    if (inside) { window.D(name, inside.textContent.trim()); return; }
    if (document.querySelector("script[data-shard]")) { fail(name, new Error("it is not in this page")); return; }
    var element = document.createElement("script");
    element.src = "data/" + name + ".js";
    element.onload = function () { element.remove(); };
    element.onerror = function () { element.remove(); fail(name, new Error("data/" + name + ".js cannot be read; keep the folder data/ beside this page")); };
    document.head.appendChild(element);
  }

  // Scripts of this page that lie beside it.
  function script(name) {
    return new Promise(function (resolve, reject) {
      var element = document.createElement("script");
      element.src = "data/" + name + ".js";
      element.onload = resolve;
      element.onerror = function () { failed[name] = "data/" + name + ".js cannot be read"; reject(new Error(failed[name])); };
      document.head.appendChild(element);
    });
  }

  function load(name) {
    if (held.has(name)) return Promise.resolve(held.get(name));
    if (failed[name]) return Promise.reject(new Error(failed[name]));
    return new Promise(function (resolve, reject) {
      if (waiting[name]) { waiting[name].push([resolve, reject]); return; }
      waiting[name] = [[resolve, reject]];
      start(name);
    });
  }

  // The shard if it is here; else it is asked for, and the page is drawn again when it comes.
  function get(name) {
    if (held.has(name)) {
      var value = held.get(name);
      held.delete(name);
      held.set(name, value);
      return value;
    }
    if (!failed[name] && !waiting[name]) load(name).catch(function () {});
    return undefined;
  }

  // Item i of a list {ptr, ...} as an object of its arrays' parts.
  function item(list, i) {
    var made = { n: list.ptr[i + 1] - list.ptr[i] };
    Object.keys(list).forEach(function (key) {
      if (key === "ptr") return;
      if (!list[key].ptr) { made[key] = list[key].slice(list.ptr[i], list.ptr[i + 1]); return; }
      made[key] = [];  // a list for each entry
      for (var p = list.ptr[i]; p < list.ptr[i + 1]; p++) made[key].push(item(list[key], p));
    });
    return made;
  }

  // The entry of a latent in a shard of latents: numbers as numbers, lists as items, pictures as arrays.
  function pick(shard, i, n) {
    var made = {};
    Object.keys(shard).forEach(function (key) {
      var value = shard[key];
      if (value === null || value === undefined) return;
      if (value.ptr) made[key] = item(value, i);
      else if (value.length === n) made[key] = value[i];
      else if (value.length !== undefined) made[key] = value.slice(i * (value.length / n), (i + 1) * (value.length / n));
      else if (typeof value === "object") made[key] = pick(value, i, n);
    });
    return made;
  }

  // Items are kept beyond their shard: the latents of a list, or the examples of one, lie in more shards than are held.
  function kept(items, i, name, per) {
    if (items.has(i)) return items.get(i);
    var shard = get(name + "/" + Math.floor(i / per));
    if (!shard) return undefined;
    var made = pick(shard, i - shard.first, shard.n);
    made.position = i;
    if (items.size >= ITEMS_KEPT) items.delete(items.keys().next().value);
    items.set(i, made);
    return made;
  }

  function latent(i) { return kept(latents, i, "latents", dsae.index.per.latents); }
  function row(position) { return kept(rows, position, "rows", dsae.index.per.rows); }

  // Position of a row among those stored, or -1.
  function find(number) {
    var list = held.get("stored"), low = 0, high;
    if (!list) { get("stored"); return -1; }
    high = list.row.length;
    while (low < high) {
      var middle = (low + high) >> 1;
      if (list.row[middle] < number) low = middle + 1; else high = middle;
    }
    return list.row[low] === number ? low : -1;
  }

  // All stored rows one after another, shard by shard: visit(shard, i, position); resolves when through.
  function scan(visit, progress) {
    var per = dsae.index.per.rows, n = Math.ceil(dsae.index.n_stored / per), at = 0;
    function next() {
      if (at >= n) return Promise.resolve();
      return load("rows/" + at).then(function (shard) {
        for (var i = 0; i < shard.n; i++) visit(shard, i, shard.first + i);
        at += 1;
        if (progress) progress(at / n);
        return next();
      });
    }
    return next();
  }

  // Whole atoms, by latent, as far as their shards are here; undefined until all are.
  function atoms(latents) {
    var per = dsae.index.per.latents, made = [], missing = false;
    for (var i = 0; i < latents.length; i++) {
      var shard = get("decoder/" + Math.floor(latents[i] / per));
      if (!shard) { missing = true; continue; }
      var at = latents[i] - shard.first;
      made.push({ feature: shard.feature.subarray(shard.ptr[at], shard.ptr[at + 1]), value: shard.value.subarray(shard.ptr[at], shard.ptr[at + 1]) });
    }
    return missing ? undefined : made;
  }

  dsae.load = load;
  dsae.script = script;
  dsae.get = get;
  dsae.failures = failed;
  dsae.latent = latent;
  dsae.row = row;
  dsae.find = find;
  dsae.scan = scan;
  dsae.atoms = atoms;
  dsae.item = item;
})(dsae);
