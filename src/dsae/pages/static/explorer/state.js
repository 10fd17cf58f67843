/* The state is the address: #latent=7&sort=lift. Notes are kept by the browser. */
(function (dsae) {
  "use strict";
  var VIEWS = ["latents", "latent", "row", "compare", "map", "health", "about"];
  var last = {};  // address of each view when it was left

  function parse(hash) {
    var made = { view: "latents", arg: null, params: {} }, seen = false;
    hash.replace(/^#/, "").split("&").forEach(function (part) {
      if (!part) return;
      var at = part.indexOf("="), key = at < 0 ? part : part.slice(0, at), value = at < 0 ? null : part.slice(at + 1);
      try { value = value === null ? null : decodeURIComponent(value); } catch (error) { value = null; }
      if (!seen && VIEWS.indexOf(key) >= 0) { made.view = key; made.arg = value; seen = true; }
      else made.params[key] = value === null ? "" : value;
    });
    return made;
  }

  // Commas and colons may stand in a fragment, and are easier to read so.
  function encoded(value) { return encodeURIComponent(value).replace(/%2C/g, ",").replace(/%3A/g, ":"); }

  function address(view, arg, params) {
    var parts = [arg === null || arg === undefined ? view : view + "=" + encoded(arg)];
    Object.keys(params || {}).forEach(function (key) {
      var value = params[key];
      if (value !== null && value !== undefined && value !== "") parts.push(key + "=" + encoded(value));
    });
    return "#" + parts.join("&");
  }

  // Sort, filter and search go along from the list to a latent, so that j and k walk the same list.
  function listed(params) {
    var kept = {};
    ["sort", "up", "filter", "label", "q", "lambda"].forEach(function (key) { if (params[key] !== undefined) kept[key] = params[key]; });
    return kept;
  }

  function current() { return dsae.state; }
  function read() {
    // An address that `set` has written says nothing new, and a click may have changed the state before it is told.
    if (location.hash !== written) {
      clearTimeout(writing);
      dsae.state = parse(location.hash);
    }
    written = null;
    last[dsae.state.view] = location.hash || "#latents";
  }

  var writing = null, written = null;
  // Change some of the parameters without a step in the browser's history. The view follows at once, the address a
  // little later: browsers refuse more than 200 addresses in ten seconds, and a slider has more.
  function set(change) {
    var state = current(), stands = location.hash;
    Object.keys(change).forEach(function (key) {
      if (change[key] === null || change[key] === "") delete state.params[key]; else state.params[key] = String(change[key]);
    });
    clearTimeout(writing);
    writing = setTimeout(function () {
      if (location.hash !== stands) return;  // the page is about to be told of another
      written = address(state.view, state.arg, state.params);
      location.replace(written);
    }, 150);
    dsae.redraw();
  }

  function go(hash) { clearTimeout(writing); location.hash = hash; }

  function toLatent(i) { return address("latent", i, listed(current().params)); }
  function toRow(number) { return address("row", number, {}); }

  var key = null, notes = {};
  // Explorers of different models lie under one origin, so each has its own place in the browser's memory.
  function openNotes(name) {
    key = "dsae-notes:" + name;
    try { notes = JSON.parse(localStorage.getItem(key)) || {}; } catch (error) { notes = {}; }
  }

  function note(i, text) {
    if (text === undefined) return notes[i] || "";
    if (text) notes[i] = text; else delete notes[i];
    try { localStorage.setItem(key, JSON.stringify(notes)); } catch (error) { dsae.forgetful = true; }
    dsae.notesVersion = (dsae.notesVersion || 0) + 1;
  }

  function exportNotes() {
    var told = Object.keys(notes).map(Number).sort(function (a, b) { return a - b; }).map(function (i) {
      return { latent: i, words: dsae.words(i), note: notes[i] };
    });
    dsae.download("notes.json", JSON.stringify({ title: dsae.index.title, notes: told }, null, 2) + "\n", "application/json");
  }

  function importNotes(text) {
    JSON.parse(text).notes.forEach(function (entry) { note(entry.latent, String(entry.note)); });
  }

  dsae.VIEWS = VIEWS;
  dsae.parse = parse;
  dsae.address = address;
  dsae.listed = listed;
  dsae.read = read;
  dsae.set = set;
  dsae.go = go;
  dsae.last = last;
  dsae.toLatent = toLatent;
  dsae.toRow = toRow;
  dsae.openNotes = openNotes;
  dsae.note = note;
  dsae.noted = function () { return notes; };
  dsae.exportNotes = exportNotes;
  dsae.importNotes = importNotes;
})(dsae);
