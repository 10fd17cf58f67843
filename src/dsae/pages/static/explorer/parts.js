/* What several views show: names of latents, examples with marked words, the Python line and the download below. */
(function (dsae) {
  "use strict";
  var html = dsae.html;
  var EXCERPT = 280;  // characters round the strongest words

  function words(i) {
    var columns = dsae.columns, made = [], n = dsae.index.n_features;
    if (columns.name && columns.name[i]) return columns.name[i];
    for (var t = 3 * i; t < 3 * i + 3; t++) if (columns.top[t] < n) made.push(feature(columns.top[t]));
    return made.join(", ");
  }

  function feature(j) { return dsae.features.name[j]; }

  function label(l) {
    var labels = dsae.index.labels;
    return labels && l < labels.names.length ? labels.names[l] : null;
  }

  // A value in the unit of its column, where the rows were a table.
  function inUnits(j, value) {
    var unit = dsae.features.unit;
    return unit && unit.scale[j] ? value * unit.scale[j] + unit.mean[j] : value;
  }

  function modalityOf(j) {
    return dsae.index.modalities.find(function (m) { return j >= m.first && j < m.first + m.n_features; });
  }

  function Name(props) {
    return html`<a href=${dsae.toLatent(props.i)}>${props.i} <span class="quiet">${words(props.i)}</span></a>`;
  }

  function name(i) {
    var told = words(i);
    return told ? i + " \u00b7 " + told : "latent " + i;
  }

  // The number of a stored row by its number or its name; NaN if there is none, undefined while names are on their way.
  function rowOf(text) {
    if (/^\d+$/.test(text)) return Number(text);
    if (!dsae.index.has.ids) return NaN;
    var ids = dsae.get("ids"), stored = dsae.get("stored");
    if (!ids || !stored) return undefined;
    var at = ids.id.indexOf(text);
    return at < 0 ? NaN : stored.row[at];
  }

  function rowName(row) { return row.id !== undefined && row.id !== null ? String(row.id) : "row " + row.row; }

  // What features of a row gave to a latent: pairs [feature, W_ij x_j], largest first. `parts` were computed with the
  // row; without them it is what the listed weights of the latent meet in the row.
  function given(reads, row, parts) {
    if (parts) return Array.from(parts.feature, function (j, k) { return [j, parts.value[k]]; });
    if (!row.x) return [];
    var at = new Map(), made = [];
    for (var k = 0; k < row.x.n; k++) at.set(row.x.feature[k], row.x.value[k]);
    for (var r = 0; r < reads.n; r++) {
      var x = at.get(reads.feature[r]);
      if (x) made.push([reads.feature[r], reads.value[r] * x]);
    }
    return made.sort(function (a, b) { return Math.abs(b[1]) - Math.abs(a[1]); });
  }

  // Parts of a text: plain ones as strings, words that are features with weights as {text, weight}.
  function marked(text, weights, whole) {
    var word = /[\p{L}\p{N}_'’-]+/gu, found, pieces = [], at = 0, best = -1, most = 0;
    var top = 0;
    weights.forEach(function (w) { top = Math.max(top, Math.abs(w)); });
    while ((found = word.exec(text))) {
      var weight = weights.get(found[0].toLowerCase());
      if (weight === undefined) weight = weights.get(found[0]);
      if (!weight) continue;
      pieces.push({ start: found.index, end: found.index + found[0].length, weight: weight / top });
      if (weight / top > most) { most = weight / top; best = found.index; }
    }
    var from = whole || text.length <= EXCERPT ? 0 : Math.max(Math.min(best - EXCERPT / 3, text.length - EXCERPT), 0);
    var to = whole ? text.length : Math.min(from + EXCERPT, text.length);
    from = Math.floor(from); to = Math.floor(to);
    var made = from > 0 ? ["\u2026"] : [];
    at = from;
    pieces.forEach(function (p) {
      if (p.start < at || p.end > to) return;
      made.push(text.slice(at, p.start));
      made.push({ text: text.slice(p.start, p.end), weight: p.weight });
      at = p.end;
    });
    made.push(text.slice(at, to));
    if (to < text.length) made.push("\u2026");
    return made;
  }

  function Text(props) {
    var weights = new Map();
    (props.parts || []).forEach(function (pair) {
      var key = feature(pair[0]);
      [key, key.replace(/^[^=:]*[=:]/, "")].forEach(function (k) { if (!weights.has(k)) weights.set(k, pair[1]); });
    });
    return html`<p class="text">${marked(props.text, weights, props.whole).map(function (piece) {
      if (typeof piece === "string") return piece;
      return html`<mark class=${piece.weight < 0 ? "minus" : ""} style=${{ "--w": Math.min(Math.abs(piece.weight) + 0.15, 1) }}
        title=${dsae.percent(piece.weight) + " of the strongest"}>${piece.text}</mark>`;
    })}</p>`;
  }

  // Whether a row has the modality with a number.
  function has(row, i) {
    return row.present === undefined || !!(row.present.length === undefined ? row.present : row.present[i]);
  }

  // Pictures of a row as it was, which is null where it lacks the modality, and as it is made.
  function pictureOf(row, modality) {
    var found = modality.shape && row.pictures && row.pictures[modality.name];
    return found ? { x: has(row, dsae.index.modalities.indexOf(modality)) ? found.x : null, rebuilt: found.rebuilt } : null;
  }

  // Signed values of a picture in one channel: a colour's sign has no colour, the mean over the channels does.
  function flat(values, shape) {
    var channels = shape[2] || 1, n = shape[0] * shape[1], made = new Float32Array(n);
    for (var i = 0; i < n; i++) for (var c = 0; c < channels; c++) made[i] += values[channels * i + c] / channels;
    return made;
  }

  function paletteOf(modality) { return modality.shape[2] === 3 ? "rgb" : "gray"; }

  function Pixels(props) {
    var m = props.modality;
    return html`<${dsae.Picture} values=${props.values} shape=${m.shape} palette=${paletteOf(m)} low=${0} high=${255} title=${props.title}/>`;
  }

  /* A row as an example of a latent: its picture, its text with marks, or its strongest parts. */
  function Example(props) {
    var row = dsae.row(props.position), index = dsae.index;
    if (!row) return html`<div class="example"><p class="quiet">loading</p></div>`;
    var parts = props.reads ? given(props.reads, row, props.parts) : [];
    var pictures = index.modalities.filter(function (m) { var p = pictureOf(row, m); return p && p.x; });
    var tag = row.label === undefined ? null : label(row.label);
    var told = row.text ? html`<${Text} text=${row.text} parts=${parts}/>` : null;
    if (!told && !pictures.length && parts.length) {
      told = html`<p>${parts.slice(0, 5).map(function (pair) {
        return html`<span class="tag" title=${"adds " + dsae.number(pair[1])}>${feature(pair[0])} <b>${dsae.number(pair[1])}</b></span>`;
      })}</p>`;
    }
    var name = rowName(row), to = dsae.toRow(row.row);
    var seen = pictures.map(function (m) {
      return html`<a href=${to} tabindex="-1" aria-hidden="true"><${Pixels} modality=${m} values=${pictureOf(row, m).x} title=${name}/></a>`;
    });
    var value = props.value === null || props.value === undefined ? null : html`<span>${dsae.number(props.value)}</span>`;
    if (props.small && pictures.length) {
      return html`<div class="example" data-row=${row.row}>${seen}${index.has.sounds ? html`<${Play} row=${row}/>` : null}
        <div class="head"><a href=${to} title=${name}>${name.replace(/^row /, "")}</a>${value}</div>${tag === null ? null : html`<div class="small cut" title=${tag}>${tag}</div>`}${row.text ? html`<div class="small brief">${told}</div>` : null}</div>`;
    }
    return html`<div class="example" data-row=${row.row}>
      <div class="head"><a href=${to} title=${name}>${name}</a>${tag === null ? null : html`<span class="tag" title="label">${tag}</span>`}${value}</div>
      ${seen}${index.has.sounds ? html`<${Play} row=${row}/>` : null}${told}</div>`;
  }

  var asked = {};  // when the sound of a row was asked for
  /* Sounds are large: their shard is loaded when one is asked for. */
  function Play(props) {
    var position = props.row.position, index = dsae.index;
    if (!asked[position]) {
      return html`<button type="button" class="button" onClick=${function () { asked[position] = Date.now(); dsae.redraw(); }}>play</button>`;
    }
    var shard = dsae.get("sounds/" + Math.floor(position / index.per.sounds));
    if (!shard) return html`<p class="quiet">loading</p>`;
    var at = position - shard.first, names = Object.keys(shard.sounds), made = [];
    var now = !props.both && Date.now() - asked[position] < 3000;  // and not again when one comes back to it
    names.forEach(function (m) {
      var sound = shard.sounds[m];
      if (sound.x[at]) made.push(html`<figure><${dsae.Sound} wav=${sound.x[at]} now=${now} title="as it was"/>${props.both ? html`<figcaption>as it was</figcaption>` : null}</figure>`);
      if (props.both && sound.rebuilt[at]) made.push(html`<figure><${dsae.Sound} wav=${sound.rebuilt[at]} title="reconstruction"/><figcaption>reconstruction</figcaption></figure>`);
    });
    return made.length ? html`<div>${made}</div>` : html`<p class="quiet">The sound of this row is not in the folder.</p>`;
  }

  /* Below every view: lines of Python that compute it, and its numbers as a file. `shard` holds them, too. */
  function Foot(props) {
    var lines = linesOf(props);
    return html`<div class="foot"><div class="lines">${lines.map(function (line) { return html`<code data-python="">${line}</code>`; })}</div>
      <button type="button" class="button" onClick=${function () { copy(lines.join("\n")); }}>copy</button>
      <button type="button" class="button" data-csv="" onClick=${function () {
        var table = props.csv();
        dsae.download(props.file + ".csv", dsae.csv(table.columns, table.rows));
      }}>download CSV</button></div>`;
  }

  function copy(text) {
    if (navigator.clipboard) { navigator.clipboard.writeText(text).catch(function () {}); }
  }

  // What the error of a row is: a mean over what is known of it.
  function meanError(first) { return (first ? "M" : "m") + "ean " + dsae.index.error; }

  // What lines of Python call the model and its rows: `all` is what it encodes, `some` those at some places.
  function said() {
    var of = dsae.index.python;
    function some(places) {
      return of.array ? of.array + "[" + places + "]" : "dsae.interpret.take(" + [of.model, of.rows, places].join(", ") + ")";
    }
    return { model: of.model, rows: of.rows, array: of.array, all: of.array || of.rows, labels: of.labels || "labels", texts: of.texts || "texts", some: some };
  }

  // Without rows, and where nothing else has its numbers, a line reads what the folder holds.
  function linesOf(props) {
    var python = props.python ? [].concat(props.python).filter(Boolean) : [];
    return dsae.index.has_rows && python.length ? python : [shardLine(props.shard)];
  }

  function shardLine(name) {
    var folder = decodeURIComponent(location.pathname).split("/").slice(-2)[0];
    return "dsae.explorer.read_shard(" + JSON.stringify(folder) + ", " + JSON.stringify(name) + ")";
  }

  // Errors of all rows.
  function errorsLine() {
    var of = said();
    if (of.array && dsae.index.modalities.length === 1) return of.model + ".reconstruction_error(" + of.array + ")";
    return "dsae.interpret.ablate(" + of.model + ", " + (of.array || of.some("range(" + dsae.index.n_rows + ")")) + ", []).before";
  }

  // Of some latents, or of all that fire.
  function described(more) {
    var of = said(), labels = dsae.index.labels && dsae.index.labels.beside ? ", labels=" + of.labels : "";
    return "dsae.interpret.describe(" + of.model + ", " + of.rows + (more || "") + labels + ")";
  }

  // Relevance of a value of an atom: |D_ji| / base_j^(1 - lambda); 1 is large, 0 distinctive. Weights of the encoder are
  // large for features that vary little: |W_ij| base_j^lambda.
  function relevance(value, j, lambda, reads) {
    return Math.abs(value) * Math.pow((reads && dsae.features.reads_base || dsae.features.base)[j], reads ? lambda : lambda - 1);
  }

  // From blue over violet to orange, of much the same lightness: seen on white and on black.
  var STOPS = [[58, 66, 184], [122, 66, 186], [184, 74, 146], [218, 106, 94], [226, 152, 54]];
  function spectrum(t) {
    var at = Math.min(Math.max(t, 0), 1) * (STOPS.length - 1), k = Math.min(Math.floor(at), STOPS.length - 2);
    return "rgb(" + STOPS[k].map(function (c, i) { return Math.round(c + (at - k) * (STOPS[k + 1][i] - c)); }).join(",") + ")";
  }

  var HUES = [220, 25, 160, 275, 45, 325, 190, 0, 100, 245, 75, 300];
  function hue(l) {
    return "hsl(" + HUES[l % HUES.length] + " " + (l < HUES.length ? 62 : 40) + "% " + (l < HUES.length ? 52 : l < 2 * HUES.length ? 40 : 66) + "%)";
  }

  dsae.words = words;
  dsae.feature = feature;
  dsae.label = label;
  dsae.inUnits = inUnits;
  dsae.modalityOf = modalityOf;
  dsae.Name = Name;
  dsae.name = name;
  dsae.rowName = rowName;
  dsae.rowOf = rowOf;
  dsae.given = given;
  dsae.marked = marked;
  dsae.Text = Text;
  dsae.has = has;
  dsae.pictureOf = pictureOf;
  dsae.flat = flat;
  dsae.paletteOf = paletteOf;
  dsae.Pixels = Pixels;
  dsae.Example = Example;
  dsae.Play = Play;
  dsae.Foot = Foot;
  dsae.meanError = meanError;
  dsae.said = said;
  dsae.described = described;
  dsae.shardLine = shardLine;
  dsae.errorsLine = errorsLine;
  dsae.relevance = relevance;
  dsae.spectrum = spectrum;
  dsae.hue = hue;
})(dsae);
