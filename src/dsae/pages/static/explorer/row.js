/* One row: its latents by the drop in its error, each switched off at will, and what each read and wrote. */
(function (dsae) {
  "use strict";
  var html = dsae.html;

  function off() {
    return (dsae.state.params.off || "").split(",").filter(Boolean).map(Number);
  }

  function toggle(i) {
    var now = off();
    dsae.set({ off: (now.indexOf(i) < 0 ? now.concat(i) : now.filter(function (k) { return k !== i; })).join(",") });
  }

  /* From the error of the bias alone down to that of the reconstruction, a step per latent. */
  function Waterfall(props) {
    var row = props.row, code = row.code, left = row.start, chosen = off(), index = dsae.index;
    var can = dsae.decodable(row), top = Math.max(row.start, row.error), lines = [];
    // Drops are read by their length, so the axis need not begin at zero: often most of the error stays.
    var run = row.start, bottom = Math.min(row.start, row.error);
    for (var k = 0; k < code.n; k++) { if (code.drop) run -= code.drop[k]; top = Math.max(top, run); bottom = Math.min(bottom, run); }
    bottom -= 0.03 * (top - bottom);
    for (k = 0; k < code.n; k++) lines.push(line(k));
    function line(k) {
      var i = code.latent[k], drop = code.drop ? code.drop[k] : null, from = left, to = left - (drop || 0), gone = chosen.indexOf(i) >= 0;
      left = to;
      var span = top - bottom || 1, x0 = (Math.min(from, to) - bottom) / span * 100, width = Math.abs(from - to) / span * 100;
      return html`<tr class=${"pick" + (props.of === i ? " own" : "")} data-latent=${i} onClick=${function () { dsae.set({ of: i }); }}>
        ${can ? html`<td><input type="checkbox" aria-label=${"latent " + i + " off"} checked=${gone} onClick=${function (e) { e.stopPropagation(); }} onChange=${function () { toggle(i); }}/></td>` : null}
        <td class="left wrap who"><a href=${dsae.address("latent", i, {})}>${i}</a> <span class="quiet">${dsae.words(i)}</span></td>
        <td>${dsae.number(code.value[k])}</td>
        ${drop === null ? null : html`<td style=${{ width: "34%" }}><span class=${"track" + (gone ? " off" : "")} style=${{ display: "block" }}><i class=${drop < 0 ? "plus" : ""} style=${{ left: x0.toFixed(1) + "%", width: width.toFixed(1) + "%", background: drop < 0 ? "var(--plus)" : "var(--bar)" }}></i></span></td>
        <td data-drop="">${dsae.number(drop)}</td><td data-off="">${code.off ? dsae.number(code.off[k]) : dsae.DASH}</td>`}
        </tr>`;
    }
    return html`<div class="scroll"><table class="tight"><thead><tr>${can ? html`<th title="switched off">off</th>` : null}<th class="left">latent</th><th>value</th>
      ${code.drop ? html`<th>${index.error}</th><th title="by how much the error falls when it joins those above">drop</th><th title="by how much the error rises without it alone">without</th>` : null}</tr></thead><tbody>${lines}</tbody></table></div>
      ${can || !code.drop ? null : html`<p class="note">${index.decoder ? "Not all of this row's code is in the folder" : "The weights of the decoder are too many for this folder"}: <code>dsae.interpret.ablate</code> switches several latents off at once.</p>`}`;
  }

  function Ablated(props) {
    var row = props.row, chosen = off();
    if (!chosen.length || !dsae.decodable(row)) return null;
    var change = new Map(chosen.map(function (i) { return [i, 0]; })), made = dsae.decoded(row, change);
    if (!made) return html`<p class="quiet">loading weights</p>`;
    var error = dsae.errors(row, made, change);
    return html`<section data-part="ablated"><h2>Without ${chosen.length === 1 ? "latent " + chosen[0] : chosen.length + " latents"}
        <button type="button" class="button" onClick=${function () { dsae.set({ off: null }); }}>all on again</button></h2>
      <p class="lead" style=${{ margin: "0 0 10px" }}>${error === null ? html`Not all values of this row are in the folder, so its error is not known here; <code>dsae.interpret.ablate</code> computes it.`
        : html`${dsae.meanError(true)} <b data-error="">${dsae.number(error[1])}</b> instead of ${dsae.number(error[0])}.`}</p>
      ${dsae.index.modalities.map(function (m) {
        var after = dsae.pixels(m, made.after);
        if (!after) return null;
        var before = dsae.pixels(m, made.before), range = dsae.levels(m, before);
        return html`<div class="three"><figure><${dsae.Picture} values=${before} shape=${m.shape} palette=${dsae.paletteOf(m)} low=${range[0]} high=${range[1]} title="with"/><figcaption>with</figcaption></figure>
          <figure><${dsae.Picture} values=${after} shape=${m.shape} palette=${dsae.paletteOf(m)} low=${range[0]} high=${range[1]} title="without"/><figcaption>without</figcaption></figure></div>`;
      })}
      <${dsae.Table} tight=${true} columns=${[{ key: "name", title: "feature", left: true, name: true }, { key: "before", title: "with" }, { key: "after", title: "without" }]}
        rows=${dsae.changed(made.before, made.after, 10).map(function (j) { return { name: dsae.feature(j), before: dsae.inUnits(j, made.before[j]), after: dsae.inUnits(j, made.after[j]) }; })}/></section>`;
  }

  function Features(props) {
    var row = props.row, rows = [];
    if (!row.shown) return null;
    for (var k = 0; k < row.shown.n; k++) {
      var j = row.shown.feature[k], x = row.shown.x[k], made = row.shown.rebuilt[k];
      rows.push({ name: dsae.feature(j), x: dsae.inUnits(j, x), rebuilt: dsae.inUnits(j, made), rest: x - made });
    }
    return html`<section data-part="features"><h2>Features <span class="side">largest errors and most unusual values</span></h2>
      <${dsae.Table} tight=${true} rows=${rows} columns=${[{ key: "name", title: "feature", left: true, name: true }, { key: "x", title: "x" }, { key: "rebuilt", title: "reconstruction" }, { key: "rest", title: "residual", form: residual }]}/></section>`;
  }

  function residual(value) {
    return html`<span class=${value > 0 ? "c2" : "c1"}>${value > 0 ? "+" : ""}${dsae.number(value)}</span>`;
  }

  function Pictures(props) {
    var row = props.row;
    return dsae.index.modalities.filter(function (m) { return dsae.pictureOf(row, m); }).map(function (m) {
      var p = dsae.pictureOf(row, m);
      if (!p.x) {
        return html`<section data-part="pictures"><h2>${m.name || "Picture"} <span class="side">this row has none</span></h2><div class="three">
          <figure><${dsae.Pixels} modality=${m} values=${p.rebuilt} title="reconstruction"/><figcaption>made from what it has</figcaption></figure></div></section>`;
      }
      var n = m.shape[0] * m.shape[1], channels = m.shape[2] || 1, rest = new Float32Array(n);
      for (var i = 0; i < n; i++) for (var c = 0; c < channels; c++) rest[i] += (p.x[channels * i + c] - p.rebuilt[channels * i + c]) / channels;
      return html`<section data-part="pictures"><h2>${m.name || "Picture"}</h2><div class="three">
        <figure><${dsae.Pixels} modality=${m} values=${p.x} title="input"/><figcaption>input</figcaption></figure>
        <figure><${dsae.Pixels} modality=${m} values=${p.rebuilt} title="reconstruction"/><figcaption>reconstruction</figcaption></figure>
        <figure><${dsae.Picture} values=${rest} shape=${m.shape} palette="diverging" high=${Math.max(dsae.rangeOf(rest)[1], -dsae.rangeOf(rest)[0], 1)} title="residual"/><figcaption>residual, orange where the input has more</figcaption></figure></div></section>`;
    });
  }

  /* One (row, latent) pair: which features made it fire, and what it adds to each. */
  function Pair(props) {
    var row = props.row, i = props.of, d = dsae.latent(i), at = Array.from(row.code.latent).indexOf(i);
    if (at < 0) return null;
    if (!d) return html`<section><h2>Latent ${i}</h2><p class="quiet">loading</p></section>`;
    var z = row.code.value[at], adds = added(row, i, z, d);
    var listed = row.code.parts && row.code.parts[at], reads = dsae.given(d.reads, row, listed), total = reads.reduce(function (sum, pair) { return sum + pair[1]; }, 0);
    return html`<section data-part="pair"><h2>Latent ${i} in this row <span class="side"><a href=${dsae.address("latent", i, {})}>${dsae.words(i)}</a></span></h2>
      ${row.x || listed ? html`<h3>Why it fires <span class="side">${dsae.index.exact_reads ? "weight \u00d7 value" : "gradient \u00d7 value"}</span></h3>
        ${reads.length ? html`<${dsae.Bars} signed=${true} items=${reads.slice(0, 10).map(function (pair) { return { name: dsae.feature(pair[0]), value: pair[1] }; })}/>`
          : html`<p class="quiet">None of the ${dsae.number(d.reads.n)} weights listed meets a value of this row.</p>`}
        ${dsae.index.exact_reads ? html`<p class="note">${dsae.number(total)} from ${dsae.count(reads.length, "feature")}${listed || d.reads.n < d.n_reads ? ", the largest listed" : ""}, bias ${dsae.number(d.bias)}.</p>` : null}` : null}
      <h3 class="gap">What it adds <span class="side">${adds.how}</span></h3>
      ${adds.items ? html`<${dsae.Bars} signed=${true} items=${adds.items.map(function (item) { return { name: dsae.feature(item[0]), value: item[1] }; })}/>` : html`<p class="quiet">loading weights</p>`}
      ${adds.note ? html`<p class="note">${adds.note}</p>` : null}</section>`;
  }

  // The features to which a latent adds most: pairs [feature, part].
  function added(row, i, z, d) {
    var index = dsae.index, found = dsae.contributed(row, i);
    if (found === undefined) return { how: "" };
    if (found) {
      var shares = index.modalities.some(function (m) { return ["poisson", "nb", "multinomial"].indexOf(m.loss) >= 0; });
      return {
        how: "integrated gradients from the code zero", items: dsae.changed(new Float64Array(found.parts.length), found.parts, 10).map(function (j) { return [j, found.parts[j]]; }),
        note: "Of what all latents of the row change, the sum of their parts misses " + dsae.percent(found.gap) + "." + (shares ? " Of counts these are shares of the row's total." : "")
      };
    }
    return {
      how: index.exact ? "value \u00d7 atom" : index.one_layer ? "value \u00d7 weight, in front of the activation" : "value \u00d7 response at the mean code",
      items: dsae.ordered(d.writes, 1).slice(0, 10).map(function (item) { return [item.feature, z * item.value]; })
    };
  }

  function Text(props) {
    var row = props.row, d = props.of === null ? null : dsae.latent(props.of), at = Array.from(row.code.latent).indexOf(props.of);
    if (!row.text) return null;
    return html`<section data-part="text"><h2>Text <span class="side">${props.of === null ? "" : "marked: what made latent " + props.of + " fire"}</span></h2>
      <div style=${{ maxHeight: "320px", overflowY: "auto", whiteSpace: "pre-wrap" }}><${dsae.Text} text=${row.text} whole=${true} parts=${d ? dsae.given(d.reads, row, at >= 0 && row.code.parts ? row.code.parts[at] : undefined) : []}/></div>
      ${row.length > row.text.length ? html`<p class="note">The first ${dsae.number(row.text.length)} of ${dsae.number(row.length)} characters.</p>` : null}</section>`;
  }

  function table(row) {
    var c = row.code, rows = [];
    for (var k = 0; k < c.n; k++) rows.push([c.latent[k], dsae.words(c.latent[k]), c.value[k], c.drop ? c.drop[k] : null, c.off ? c.off[k] : null]);
    return { columns: ["latent", "words", "value", "drop", "rise_without"], rows: rows };
  }

  // The stored row before or after; j and k walk through them here.
  function stepRow(number, by) {
    var stored = dsae.get("stored");
    if (!stored) return number;
    var at = dsae.find(number), n = stored.row.length;
    if (at < 0) { at = 0; while (at < n - 1 && stored.row[at] < number) at += 1; by = 0; }
    return stored.row[Math.min(Math.max(at + by, 0), n - 1)];
  }

  function told(row) {
    var all = row.n_code === undefined ? row.n_on : row.n_code, some = all > row.code.n ? "the " + row.code.n + " strongest of " + dsae.number(all) + "; " : "";
    if (row.start !== undefined) some += "from the error " + dsae.number(row.start) + " of the bias to " + dsae.number(row.error) + "; ";
    return some + "choose one to see more";
  }

  // Of the table and of what is shown beside it.
  function calls(number, of) {
    var said = dsae.said(), index = dsae.index, some = said.some("[" + number + "]"), given = said.model + ", " + some;
    var found = "dsae.interpret.contributions(" + given + (index.exact ? ")" : ", base='zero')"), one = index.modalities.length === 1;
    return [
      found + ".waterfall(0)",
      off().length ? "dsae.interpret.ablate(" + given + ", latents=[" + off().join(", ") + "])" : null,
      of === null ? null : found + ".of(0)",
      of !== null && one && index.exact_reads ? "dsae.interpret.reads(" + given + ", [" + of + "])" : null,
      one ? said.model + ".reconstruct(" + some + ")" : null
    ];
  }

  function Row() {
    var index = dsae.index, stored = dsae.get("stored"), params = dsae.state.params;
    if (!stored) return html`<main><p class="loading">loading</p></main>`;
    var number = dsae.state.arg === null || dsae.state.arg === "" ? stored.row[0] : Number(dsae.state.arg), position = dsae.find(number);
    var steps = html`<span class="steps"><span class="quiet small">${position < 0 ? "" : dsae.number(position + 1) + " of " + dsae.number(index.n_stored) + " stored"}</span>
      <a class="button" href=${dsae.toRow(stepRow(number, -1))} title="before it (k)">\u2190</a><a class="button" href=${dsae.toRow(stepRow(number, 1))} title="next (j)">\u2192</a></span>`;
    if (position < 0) {
      return html`<main><div class="title"><h1>Row ${String(dsae.state.arg)}</h1>${steps}</div><p class="lead">${number >= 0 && number < index.n_rows
        ? "This row was counted, but is not among the " + dsae.number(index.n_stored) + " rows stored in this folder."
        : "The rows are numbered from 0 to " + dsae.number(index.n_rows - 1) + "."}</p></main>`;
    }
    var row = dsae.row(position);
    if (!row) return html`<main><div class="title"><h1>Row ${number}</h1>${steps}</div><p class="loading">loading</p></main>`;
    var of = params.of !== undefined ? Number(params.of) : row.code.n ? row.code.latent[0] : null, tag = row.label === undefined ? null : dsae.label(row.label);
    return html`<main data-row=${number}><div class="title"><h1>${dsae.rowName(row)}</h1>${tag === null ? null : html`<span class="tag">${tag}</span>`}
        ${row.id !== undefined ? html`<span class="quiet">row ${number}</span>` : null}${steps}</div>
      <ul class="facts"><li><b data-fact="on">${dsae.number(row.n_on === undefined ? row.code.n : row.n_on)}</b> <span>latents on</span></li>
        ${row.error === undefined ? null : html`<li><b data-fact="error">${dsae.number(row.error)}</b> <span>${dsae.meanError()}</span></li><li><b data-fact="start">${dsae.number(row.start)}</b> <span>of the bias alone</span></li>
        ${row.error > row.start ? html`<li><b>worse</b> <span>than the bias alone</span></li>` : html`<li><b>${dsae.percent(row.start > 0 ? 1 - row.error / row.start : null)}</b> <span>explained</span></li>`}`}
        <li><a href=${dsae.address("compare", null, { a: "row:" + number, b: "row:" + stepRow(number, 1) })}>compare with another</a></li></ul>
      <div class="columns main-side"><div>
        <section data-part="waterfall"><h2>Latents <span class="side">${told(row)}</span></h2>
          ${row.code.n ? html`<${Waterfall} row=${row} of=${of}/>` : html`<p class="quiet">No latent is on.</p>`}</section>
        <${Text} row=${row} of=${of}/><${Features} row=${row}/></div>
      <div><${Pictures} row=${row}/>${index.has.sounds ? html`<section><h2>Sound</h2><${dsae.Play} row=${row} both=${true}/></section>` : null}
        <${Ablated} row=${row}/>${of === null ? null : html`<${Pair} row=${row} of=${of}/>`}</div></div>
      <${dsae.Foot} python=${calls(number, of)}
        shard=${"rows/" + Math.floor(position / index.per.rows)} csv=${function () { return table(row); }} file=${"row-" + number}/></main>`;
  }

  dsae.stepRow = stepRow;
  dsae.Row = Row;
})(dsae);
