/* The frame of the explorer: views, search, keyboard, and drawing when something has come or changed. */
(function (dsae) {
  "use strict";
  var html = dsae.html, planned = false, ready = false, complete = false;
  var TITLES = { latents: "Latents", row: "Row", compare: "Compare", map: "Map", health: "Health", about: "About" };

  function view() {
    return { latents: dsae.Latents, latent: dsae.Latent, row: dsae.Row, compare: dsae.Compare, map: dsae.Map, health: dsae.Health, about: dsae.About }[dsae.state.view];
  }

  function addressOf(name) {
    // The latent that is open is one click from its list, which opens where it was.
    if (name === "latents" && dsae.state.view === "latent") return dsae.address("latents", null, Object.assign({ at: dsae.state.arg }, dsae.listed(dsae.state.params)));
    if (dsae.state.view === name) return dsae.address(name, null, {});
    return dsae.last[name] || dsae.address(name, null, {});
  }

  function shownName(name) { return name === "latents" ? dsae.state.view === "latents" || dsae.state.view === "latent" : dsae.state.view === name; }

  var typing = null, typed = null;  // what stands in the field, until the address says it
  function search(event) {
    var text = event.target.value, state = dsae.state;
    typed = text;
    clearTimeout(typing);
    // Half a word is not worth a pass over all latents.
    typing = setTimeout(function () {
      if (state.view === "latents") dsae.set({ q: text || null, at: null });
      else location.hash = dsae.address("latents", null, Object.assign(dsae.listed(state.params), { q: text }));
    }, 120);
  }

  function submit(event) {
    event.preventDefault();
    var field = event.target.querySelector("input"), text = field.value.trim(), found;
    clearTimeout(typing);
    field.blur();
    if (/^\d+$/.test(text) && Number(text) < dsae.index.n_latents) { dsae.go(dsae.address("latent", Number(text), {})); return; }
    found = /^row\s+(\d+)$/i.exec(text);
    if (found) { dsae.go(dsae.toRow(Number(found[1]))); return; }
    Promise.all((dsae.index.has.ids ? ["stored", "ids"] : ["stored"]).map(dsae.load)).then(function () { jump(text); }, redraw);
  }

  // The row of that name; else the first latent that was found, or the first row.
  function jump(text) {
    var number = dsae.rowOf(text), rows;
    if (text && number === number && dsae.find(number) >= 0) { dsae.go(dsae.toRow(number)); return; }
    dsae.state.params.q = text;
    rows = dsae.rowsFound(text);
    if (dsae.list().length) dsae.go(dsae.toLatent(dsae.list()[0]));
    else if (rows.length) dsae.go(dsae.toRow(dsae.get("stored").row[rows[0]]));
    else dsae.go(dsae.address("latents", null, dsae.listed(dsae.state.params)));
  }

  function theme() {
    var root = document.documentElement, dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("dsae-theme", root.dataset.theme); } catch (error) { /* the next page asks the system again */ }
    redraw();
  }

  function Top() {
    return html`<header class="top"><a class="who" href="#latents" title=${dsae.index.title}>${dsae.index.title}</a>
      <nav aria-label="views">${Object.keys(TITLES).map(function (name) {
        return html`<a href=${addressOf(name)} aria-current=${shownName(name) ? "page" : undefined} data-view=${name}>${TITLES[name]}</a>`;
      })}</nav>
      <form role="search" onSubmit=${submit}><input type="search" id="search" placeholder=${(dsae.index.has.ids ? "word, label, number or row" : "word, label or number") + "  ( / )"} aria-label="search latents and rows" autocomplete="off" value=${typed === null ? dsae.state.params.q || "" : typed} onInput=${search}/>
        <button type="button" class="button" title="light or dark" aria-label="light or dark" onClick=${theme}>\u25d0</button></form></header>`;
  }

  function Failures() {
    var names = Object.keys(dsae.failures);
    return names.length ? html`<div class="wrong" style=${{ margin: "14px auto 0" }}>${names.map(function (name) { return html`<div>${name}: ${dsae.failures[name]}</div>`; })}</div>` : null;
  }

  function App() {
    if (!ready) return html`<div><${Failures}/><p class="loading">Opening</p></div>`;
    if (!complete && dsae.state.view !== "latents") return html`<${Top}/><${Failures}/><p class="loading">loading</p>`;
    return html`<${Top}/><${Failures}/><${view()} key=${dsae.state.view + (dsae.state.view === "latent" || dsae.state.view === "row" ? dsae.state.arg : "")}/>`;
  }

  // The other views, where they are no part of this page, and the moments of the features.
  function rest() {
    var moments = dsae.features.base ? Promise.resolve(dsae.features) : dsae.load("moments");
    Promise.all([moments, dsae.About ? null : dsae.script("views")]).then(function (loaded) {
      dsae.features = Object.assign({}, loaded[0], { name: dsae.features.name });
      complete = true;
      redraw();
    }, redraw);
  }

  function draw() {
    planned = false;
    var field = document.getElementById("search");
    if (field && document.activeElement !== field) typed = null;
    dsae.mount(html`<${App}/>`, document.getElementById("page"));
  }

  function redraw() {
    if (planned) return;
    planned = true;
    requestAnimationFrame(draw);
  }

  function changed() {
    var old = dsae.state;
    dsae.read();
    var now = dsae.state;
    document.title = (now.view === "latent" ? "Latent " + now.arg : now.view === "row" ? "Row " + (now.arg || "") : TITLES[now.view]) + " \u00b7 " + dsae.index.title;
    if (old && (old.view !== now.view || old.arg !== now.arg)) scrollTo(0, 0);
    redraw();
  }

  function key(event) {
    var field = document.getElementById("search"), inside = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (event.key === "Escape" && event.target === field) { field.blur(); return; }
    if (inside || event.ctrlKey || event.metaKey || event.altKey || !ready) return;
    if (event.key === "/") { event.preventDefault(); field.focus(); field.select(); return; }
    var by = { j: 1, k: -1 }[event.key], state = dsae.state;
    if (!by) return;
    if (state.view === "row") {
      var stored = dsae.get("stored");
      if (stored) dsae.go(dsae.toRow(state.arg === null ? stored.row[0] : dsae.stepRow(Number(state.arg), by)));
    } else if (state.view === "latent") dsae.go(dsae.toLatent(dsae.step(Number(state.arg), by)));
    else if (state.view === "latents" && dsae.list().length) dsae.go(dsae.toLatent(dsae.list()[0]));
  }

  dsae.redraw = redraw;
  try {
    var chosen = localStorage.getItem("dsae-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch (error) { /* then as the system is */ }
  document.getElementById("page").textContent = "";
  redraw();
  Promise.all(["index", "columns", "features"].map(dsae.load)).then(function (loaded) {
    dsae.index = loaded[0];
    dsae.columns = loaded[1];
    dsae.features = loaded[2];
    dsae.openNotes(dsae.index.title + ":" + dsae.index.n_latents);
    ready = true;
    changed();
    // What the start page does without comes when it has been painted.
    requestAnimationFrame(function () { setTimeout(rest, 0); });
    window.addEventListener("hashchange", changed);
    document.addEventListener("keydown", key);
  }, redraw);
})(dsae);
