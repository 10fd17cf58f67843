/* Latents: the table of all, searched, filtered and sorted, beside firing rate and energy. */
(function (dsae) {
  "use strict";
  var html = dsae.html;
  var FOUND = 12;  // rows of a search

  var FILTERS = [
    ["", "all", function () { return true; }, "every latent of the model"],
    ["dead", "dead", function (c, i) { return c.n_on[i] === 0; }, "on in none of the rows"],
    ["rare", "below 0.01 %", function (c, i, n) { return c.n_on[i] > 0 && c.n_on[i] / n < 1e-4; }, "on in fewer than one row in 10,000"],
    ["frequent", "above 10 %", function (c, i, n) { return c.n_on[i] / n > 0.1; }, "on in more than one row in ten"],
    ["duplicates", "duplicates", function (c, i) { return c.cosine[i] > 0.9; }, "cosine with another atom above 0.9"],
    // Seldom any, so these have a button only where Health leads to them.
    ["constant", "in every row", function (c, i, n) { return c.n_on[i] === n; }, "on in every row", true],
    ["empty", "empty atoms", function (c, i) { return c.norm[i] === 0; }, "write nothing", true],
    ["noted", "noted", function (c, i) { return !!dsae.note(i); }, "with a note of yours"]
  ];

  // Whether a name has all words of the search in it.
  function finder(query) {
    var parts = query.toLowerCase().split(/\s+/).filter(Boolean);
    return function (name) {
      var low = name.toLowerCase();
      return parts.every(function (part) { return low.indexOf(part) >= 0; });
    };
  }

  // Which latents a search finds: by number, own name or note, label, and by features that they write.
  function found(query) {
    var index = dsae.index, columns = dsae.columns, n = index.n_latents, hits = new Uint8Array(n), matches = finder(query);
    var features = new Uint8Array(index.n_features + 1), labels = index.labels ? index.labels.names.map(matches) : [];
    for (var j = 0; j < index.n_features; j++) features[j] = matches(dsae.features.name[j]) ? 1 : 0;
    var search = dsae.get("search"), number = /^\d+$/.test(query) ? Number(query) : -1;
    for (var i = 0; i < n; i++) {
      var top = 3 * i;
      if (features[columns.top[top]] || features[columns.top[top + 1]] || features[columns.top[top + 2]] || labels[columns.label[i]] || i === number) hits[i] = 1;
      else if (columns.name && columns.name[i] && matches(columns.name[i])) hits[i] = 1;
    }
    if (search) {
      for (var f = 0; f < index.n_features; f++) {
        if (!features[f]) continue;
        for (var p = search.ptr[f]; p < search.ptr[f + 1]; p++) hits[search.latent[p]] = 1;
      }
    }
    Object.keys(dsae.noted()).forEach(function (key) { if (matches(dsae.note(key))) hits[key] = 1; });
    return hits;
  }

  // Stored rows that a search finds: by number, or by all of its words in their names.
  function rowsFound(query) {
    var stored = query && dsae.get("stored"), ids = query && dsae.index.has.ids ? dsae.get("ids") : null, positions = [];
    if (!stored) return positions;
    var number = /^\d+$/.test(query) ? dsae.find(Number(query)) : -1, matches = finder(query);
    if (ids) ids.id.forEach(function (id, position) { if (matches(id) || position === number) positions.push(position); });
    else if (number >= 0) positions.push(number);
    return positions;
  }

  function Rows(props) {
    var positions = rowsFound(props.query);
    if (!positions.length) return null;
    var stored = dsae.get("stored"), ids = dsae.index.has.ids ? dsae.get("ids") : null;
    return html`<p class="chips" data-part="rows-found" style=${{ margin: "0 0 10px" }}><span class="quiet small">${dsae.count(positions.length, "row")}</span>${positions.slice(0, FOUND).map(function (position) {
      return html`<a class="tag" href=${dsae.toRow(stored.row[position])}>${ids ? ids.id[position] : "row " + stored.row[position]}</a>`;
    })}${positions.length > FOUND ? html`<span class="quiet small">and ${dsae.number(positions.length - FOUND)} more</span>` : null}</p>`;
  }

  function values(sort) {
    var c = dsae.columns;
    return { latent: null, rate: c.n_on, energy: c.energy, mean: c.mean, max: c.max, lift: c.lift, cosine: c.cosine, label: c.label }[sort];
  }

  var made = { key: null, list: null };
  // The latents of the current search, filter and sort, in order. Kept until one of them changes.
  function list() {
    var params = dsae.state.params, index = dsae.index, columns = dsae.columns, n = index.n_latents;
    var sort = params.sort || "energy", query = (params.q || "").trim(), chosen = params.filter || "";
    var key = [sort, params.up, query, chosen, params.label, query && !!dsae.get("search"), dsae.notesVersion].join("|");
    if (made.key === key) return made.list;
    var filter = FILTERS.find(function (f) { return f[0] === chosen; }) || FILTERS[0], hits = query ? found(query) : null;
    var only = params.label === undefined ? null : Number(params.label), kept = new Uint32Array(n), m = 0;
    for (var i = 0; i < n; i++) {
      if (hits && !hits[i]) continue;
      if (only !== null && !(columns.label[i] === only && columns.lift[i] > 1)) continue;
      if (filter[2](columns, i, index.n_rows)) kept[m++] = i;
    }
    kept = kept.slice(0, m);
    var of = values(sort), down = !params.up;
    if (of) {
      // What is not known comes last in either direction.
      kept.sort(function (a, b) {
        var va = of[a], vb = of[b];
        if (va !== va || vb !== vb) return va !== va ? (vb !== vb ? a - b : 1) : -1;
        return (down ? vb - va : va - vb) || a - b;
      });
    } else if (down && sort === "latent" && params.sort) kept.reverse();
    made = { key: key, list: kept };
    return kept;
  }

  function sortBy(key) {
    var params = dsae.state.params, same = (params.sort || "energy") === key;
    // Numbers of latents read upwards first, all else from the largest.
    dsae.set({ sort: key, up: same ? (params.up ? null : "1") : key === "latent" ? "1" : null });
  }

  var COLUMNS = [
    { key: "latent", title: "latent", width: "58px", narrow: "44px", left: true },
    { key: "atom", title: "", width: "36px", narrow: "32px", left: true, sort: false },
    { key: "words", title: "writes", hint: "the features that its atom writes, most distinctive first", width: "minmax(0, 1fr)", left: true, sort: false },
    { key: "rate", title: "rate", width: "96px", narrow: "64px", hint: "share of the rows in which it is on; the bar is logarithmic" },
    { key: "energy", title: "energy", width: "84px", narrow: "72px", hint: "share of E[z\u00b2]\u00b7|D|\u00b2 over all latents" },
    { key: "mean", title: "mean on", width: "66px", wide: true, hint: "mean where it is on" },
    { key: "max", title: "max", width: "54px", wide: true },
    { key: "label", title: "label", width: "minmax(70px, 0.5fr)", wide: true, left: true, hint: "the label in which it fires most above its rate" },
    { key: "lift", title: "lift", width: "46px", wide: true, hint: "rate within the label over the rate in all rows" },
    { key: "cosine", title: "cosine", width: "56px", wide: true, hint: "largest cosine of its atom with another" }
  ];

  function columnsShown() {
    var index = dsae.index;
    return COLUMNS.filter(function (c) { return (c.key !== "label" && c.key !== "lift" || index.labels) && (c.key !== "atom" || pictured()); });
  }

  // The first modality whose atoms are pictures.
  function pictured() { return dsae.index.modalities.find(function (m) { return m.shape; }); }

  function Atom(props) {
    var d = dsae.latent(props.i), m = pictured(), values = d && d.atom && d.atom[m.name];
    return values ? html`<span class="mini"><${dsae.Picture} values=${dsae.flat(values, m.shape)} shape=${m.shape} palette="diverging" high=${127} title=${"atom " + props.i}/></span>` : null;
  }

  function cells(i, columns) {
    var c = dsae.columns, n = dsae.index.n_rows, rate = c.n_on[i] / n, floor = Math.log10(1 / n);
    var told = {
      latent: i,
      atom: html`<${Atom} i=${i}/>`,
      words: html`${dsae.note(i) ? html`<b title=${dsae.note(i)}>\u270e </b>` : null}${dsae.words(i) || html`<span class="quiet">writes nothing</span>`}`,
      rate: html`${c.n_on[i] ? dsae.percent(rate) : html`<span class="quiet">never</span>`}<span class="meter" style=${{ width: (c.n_on[i] ? 4 + 96 * (1 - Math.log10(rate) / (floor || -1)) : 0).toFixed(1) + "%" }}></span>`,
      energy: dsae.percent(c.energy[i]),
      mean: dsae.number(c.mean[i]),
      max: dsae.number(c.max[i]),
      label: dsae.label(c.label[i]) || dsae.DASH,
      lift: dsae.number(c.lift[i]),
      cosine: dsae.number(c.cosine[i])
    };
    return columns.map(function (column) { return told[column.key]; });
  }

  function table() {
    var c = dsae.columns, n = dsae.index.n_rows;
    return {
      columns: ["latent", "words", "rows_on", "rate", "energy", "mean_on", "max", "label", "lift", "cosine", "nearest", "note"],
      rows: Array.from(list()).map(function (i) {
        return [i, dsae.words(i), c.n_on[i], c.n_on[i] / n, c.energy[i], c.mean[i], c.max[i], dsae.label(c.label[i]), c.lift[i], c.cosine[i], c.near[i], dsae.note(i)];
      })
    };
  }

  function Cloud(props) {
    var c = dsae.columns, n = dsae.index.n_rows, inside = new Uint8Array(dsae.index.n_latents);
    props.list.forEach(function (i) { inside[i] = 1; });
    return html`<section><h2>Rate and energy <span class="side">each point a latent</span></h2>
      <${dsae.Scatter} x=${rates(c, n)} y=${c.energy} logx=${true} logy=${true} height=${300} shown=${function (i) { return inside[i]; }}
        name=${dsae.name} formX=${share} formY=${share} xLabel="share of rows in which it is on" yLabel="energy"
        here=${props.here} onPick=${function (i) { dsae.go(dsae.toLatent(i)); }} title="firing rate and energy of latents"/>
      <p class="note">Energy is E[z\u00b2]\u00b7|D|\u00b2, what a latent moves in the reconstruction, as a share of the sum over latents. Click on a point to open it.</p></section>`;
  }

  // Beside an axis: 0.01 %, but 1e-6 %, which has room there.
  function share(v) { return (v > 0 && v < 1e-5 ? (100 * v).toExponential(0) : Number((100 * v).toPrecision(3))) + " %"; }

  var rate = null;
  function rates(c, n) {
    if (!rate) rate = Float32Array.from(c.n_on, function (v) { return v / n; });
    return rate;
  }

  function Latents() {
    var params = dsae.state.params, shown = list(), index = dsae.index, columns = columnsShown();
    var here = params.at === undefined ? -1 : shown.indexOf(Number(params.at));
    return html`<main><div class="title"><h1>Latents</h1>
        <span class="quiet" data-count=${shown.length}>${shown.length === index.n_latents ? dsae.number(shown.length) : dsae.number(shown.length) + " of " + dsae.number(index.n_latents)}</span></div>
      <div class="columns main-side slim"><div>
        <div class="chips" style=${{ marginBottom: "10px" }}>${FILTERS.filter(function (f) { return !f[4] || params.filter === f[0]; }).map(function (f) {
          return html`<button type="button" class="button" title=${f[3]} data-filter=${f[0]} aria-pressed=${String((params.filter || "") === f[0])}
            onClick=${function () { dsae.set({ filter: f[0], at: null }); }}>${f[1]}</button>`;
        })}
        ${index.labels ? html`<select aria-label="label" value=${params.label === undefined ? "" : params.label} onChange=${function (e) { dsae.set({ label: e.target.value, at: null }); }}>
          <option value="">any label</option>${index.labels.names.map(function (name, l) { return html`<option value=${l}>${name}</option>`; })}</select>` : null}
        ${params.q ? html`<button type="button" class="button" onClick=${function () { dsae.set({ q: null }); }}>\u201c${params.q}\u201d \u00d7</button>` : null}</div>
        <${Rows} query=${(params.q || "").trim()}/>
        ${!shown.length ? html`<p class="note">No latent is like that.</p>` : html`<${dsae.Long} n=${shown.length} columns=${columns} sort=${params.sort || "energy"} down=${!params.up} onSort=${sortBy} here=${here}
          line=${function (at) { var i = shown[at]; return { key: i, href: dsae.toLatent(i), cells: cells(i, columns) }; }}/>`}
      </div><div>
        <${Cloud} list=${shown} here=${here >= 0 ? shown[here] : null}/>
        <section><h2>Your notes</h2><p class="note" style=${{ marginTop: 0 }}>Kept by this browser alone${dsae.forgetful ? " (it refuses to: export them before you leave)" : ""}. ${Object.keys(dsae.noted()).length || "None"} so far.</p>
          <div class="chips gap"><button type="button" class="button" data-notes="" onClick=${dsae.exportNotes}>export as JSON</button>
          <label class="button">import<input type="file" accept=".json,application/json" hidden onChange=${function (e) {
            e.target.files[0].text().then(dsae.importNotes).then(dsae.redraw, function () { alert("This is no file of notes."); });
          }}/></label></div></section>
      </div></div>
      <${dsae.Foot} python=${dsae.described()} shard="columns" csv=${table} file="latents"/></main>`;
  }

  // The latent before or after another in the list; the first of the list if it is not in it.
  function step(i, by) {
    var shown = list(), at = shown.indexOf(i);
    if (!shown.length) return i;
    return shown[at < 0 ? 0 : Math.min(Math.max(at + by, 0), shown.length - 1)];
  }

  dsae.list = list;
  dsae.rowsFound = rowsFound;
  dsae.step = step;
  dsae.Latents = Latents;
})(dsae);
