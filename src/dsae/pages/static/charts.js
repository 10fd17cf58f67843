/* Bars, histograms, lines, the network's shape, tables and pictures; colours come from the style sheet. */
(function (dsae) {
  "use strict";
  var html = dsae.html;
  var LEFT = 52, RIGHT = 12, TOP = 12, BOTTOM = 34;  // pixels, for labels of the axes

  function clean(text) { return text === undefined || text === null ? "" : String(text); }

  // Round numbers that cover [low, high].
  function ticks(low, high, count) {
    if (!(high > low)) return [low];
    var raw = (high - low) / (count || 5), power = Math.pow(10, Math.floor(Math.log10(raw))), step = power;
    [1, 2, 5, 10].forEach(function (m) {
      if (Math.abs(Math.log(m * power / raw)) < Math.abs(Math.log(step / raw))) step = m * power;
    });
    var made = [];
    for (var i = Math.ceil(low / step - 1e-9); i <= Math.floor(high / step + 1e-9); i++) {
      made.push(Number((i * step).toPrecision(12)));
    }
    return made;
  }

  // Powers of ten in [low, high], or steps of 1, 2, 5 where there are fewer than two.
  function logTicks(low, high) {
    var tens = [], fine = [];
    for (var p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
      [1, 2, 5].forEach(function (m) {
        var value = Number((m * Math.pow(10, p)).toPrecision(12));
        if (value < low || value > high) return;
        fine.push(value);
        if (m === 1) tens.push(value);
      });
    }
    return tens.length > 1 ? tens : fine.length ? fine : [low];
  }

  function scale(low, high, start, end, log) {
    var of = log ? Math.log : Number, span = of(high) - of(low), shift = span ? 0 : 0.5;
    return function (value) { return start + (end - start) * ((of(value) - of(low)) / (span || 1) + shift); };
  }

  function room(low, high, log) {
    if (log) return [low / 1.1, high * 1.1];
    var margin = 0.05 * (high - low) || 0.5 * Math.abs(high) || 1;
    return [low === 0 ? low : low - margin, high + margin];
  }

  // At most `most` of the ticks: powers of ten over many decades would run into each other.
  function thin(values, most) {
    var step = Math.ceil(values.length / most);
    return values.filter(function (_, i) { return i % step === 0; });
  }

  function Svg(props) {
    return html`<svg viewBox=${"0 0 " + props.size[0] + " " + props.size[1]} role="img" aria-label=${clean(props.title)}>${props.children}</svg>`;
  }

  /* Horizontal bars, full at `top`, by default the largest; signed ones grow from the middle. */
  function Bars(props) {
    var items = props.items, form = props.form || dsae.number;
    var top = props.top || Math.max.apply(null, items.map(function (item) { return Math.abs(item.value || 0); }).concat(0)) || 1;
    return html`<div class="bars">${items.map(function (item) {
      var value = item.value || 0, name = clean(item.name), off = item.off ? "off" : "";
      var width = Math.min(Math.abs(value) / top, 1) * (props.signed ? 50 : 100);
      var left = props.signed ? (value < 0 ? 50 - width : 50) : 0;
      var head = item.href
        ? html`<a class=${off} href=${item.href} title=${clean(item.title) || name}>${name}</a>`
        : html`<span class=${off} title=${clean(item.title) || name}>${name}</span>`;
      var empty = value ? null : "none";
      return html`${head}<span class=${"track " + (props.signed ? "signed " : "") + off}><i class=${value < 0 ? "minus" : "plus"}
        style=${{ left: left.toFixed(1) + "%", width: width.toFixed(1) + "%", display: empty }}></i></span>
        <span class=${off}>${item.note === undefined ? form(item.value) : item.note}</span>`;
    })}</div>`;
  }

  /* Bars from left to right. `plain` leaves the axes out; `log` draws the logarithm of the counts, `logx` edges in decades. */
  function Histogram(props) {
    var counts = props.counts, n = counts.length, size = props.size || (props.plain ? [132, 46] : [360, 150]);
    var edges = props.edges, low = edges ? edges[0] : props.low, high = edges ? edges[n] : props.high;
    var box = props.plain ? [0, size[0], 0, size[1]] : [34, size[0] - 8, 8, size[1] - 34];
    var top = Math.max.apply(null, counts.concat(0)) || 1;
    function tall(c) { return c > 0 ? (props.log ? Math.log(1 + c) / Math.log(1 + top) : c / top) : 0; }
    var place = low === undefined ? null : scale(low, high, box[0], box[1], props.logx);
    var bars = counts.map(function (c, i) {
      if (!(c > 0)) return null;
      var x0 = edges && place ? place(edges[i]) : box[0] + (box[1] - box[0]) * i / n;
      var x1 = edges && place ? place(edges[i + 1]) : box[0] + (box[1] - box[0]) * (i + 1) / n;
      var h = Math.max((box[3] - box[2]) * tall(c), 0.8), between = edges ? dsae.number(edges[i]) + " to " + dsae.number(edges[i + 1]) + ": " : "";
      return html`<rect class=${"bar" + (props.hot && props.hot(i) ? " hot" : "")} x=${x0.toFixed(2)} y=${(box[3] - h).toFixed(2)}
        width=${Math.max(x1 - x0 - 0.6, 0.5).toFixed(2)} height=${h.toFixed(2)}><title>${between + dsae.number(c)}</title></rect>`;
    });
    var zero = props.zero, at = zero === null || zero === undefined || zero < 0 || zero > 1 ? null : box[0] + zero * (box[1] - box[0]);
    var mark = at === null ? null : html`<line class="mark" x1=${at} x2=${at} y1=${box[2]} y2=${box[3]}/>`;
    var axis = html`<line class="axis" x1=${box[0]} x2=${box[1]} y1=${box[3]} y2=${box[3]}/>`;
    if (props.plain || !place) return html`<${Svg} size=${size} title=${props.title}>${bars}${mark}${axis}<//>`;
    var xs = thin(props.logx ? logTicks(low, high) : ticks(low, high, 5), 7);
    var ys = props.log ? logTicks(1, Math.max(top, 2)) : ticks(0, top, 3);
    var form = props.form || dsae.number;
    return html`<${Svg} size=${size} title=${props.title}>
      ${thin(ys, 5).map(function (v) {
        var y = box[3] - (box[3] - box[2]) * (props.log ? Math.log(1 + v) / Math.log(1 + top) : v / top);
        return html`<line class="grid" x1=${box[0]} x2=${box[1]} y1=${y} y2=${y}/><text class="end" x=${box[0] - 5} y=${y + 3.5}>${short(v)}</text>`;
      })}
      ${bars}${mark}${axis}
      ${xs.map(function (v) { return html`<text class="mid" x=${place(v)} y=${box[3] + 14}>${form(v)}</text>`; })}
      <text class="end" x=${box[1]} y=${size[1] - 4}>${clean(props.xLabel)}</text><//>`;
  }

  // 12k rather than 12,000, beside an axis.
  function short(v) {
    return v >= 1e6 ? v / 1e6 + "M" : v >= 1e4 ? v / 1e3 + "k" : dsae.number(v);
  }

  /* Lines over a common axis; y may be null where there is nothing, `marks` are vertical lines with names. */
  function Lines(props) {
    var size = props.size || [560, 250], form = props.form || dsae.number, xs = [], ys = [];
    props.series.forEach(function (s) {
      s.x.forEach(function (x, i) { if (s.y[i] !== null && s.y[i] !== undefined) { xs.push(x); ys.push(s.y[i]); } });
    });
    if (!xs.length) return null;
    function least(values) { return values.reduce(function (a, b) { return a < b ? a : b; }); }
    function most(values) { return values.reduce(function (a, b) { return a > b ? a : b; }); }
    var span = room(props.fromZero ? Math.min(0, least(ys)) : least(ys), most(ys), props.log);
    var px = scale(least(xs), most(xs), LEFT, size[0] - RIGHT), py = scale(span[0], span[1], size[1] - BOTTOM, TOP, props.log);
    var bottom = size[1] - BOTTOM, right = size[0] - RIGHT;
    var legend = props.series.length > 1 || props.legend
      ? html`<div class="legend">${props.series.map(function (s) { return html`<span class=${(s.style || "c1").split(" ")[0]}>${clean(s.name)}</span>`; })}</div>` : null;
    var chart = html`<${Svg} size=${size} title=${props.title}>
      ${(props.log ? logTicks : ticks)(span[0], span[1]).map(function (v) {
        return html`<line class="grid" x1=${LEFT} x2=${right} y1=${py(v)} y2=${py(v)}/><text class="tick end" x=${LEFT - 6} y=${py(v) + 3.5}>${form(v)}</text>`;
      })}
      ${ticks(least(xs), most(xs), 6).map(function (v) {
        return v === Math.round(v) ? html`<text class="tick mid" x=${px(v)} y=${bottom + 15}>${v}</text>` : null;
      })}
      <line class="axis" x1=${LEFT} x2=${right} y1=${bottom} y2=${bottom}/>
      <text class="tick end" x=${right} y=${size[1] - 4}>${clean(props.xLabel)}</text>
      ${(props.marks || []).map(function (mark, i) {
        var x = px(mark.x), late = x > 0.7 * size[0];
        return html`<line class="mark" x1=${x} x2=${x} y1=${TOP} y2=${bottom}/>
          <text class=${late ? "tick end" : "tick"} x=${late ? x - 4 : x + 4} y=${TOP + 9 + 14 * (i % 4)}>${clean(mark.name)}</text>`;
      })}
      ${props.series.map(function (s) {
        var at = [];
        s.x.forEach(function (x, i) { if (s.y[i] !== null && s.y[i] !== undefined) at.push(px(x).toFixed(1) + "," + py(s.y[i]).toFixed(1)); });
        if (at.length === 1) { var one = at[0].split(","); return html`<circle class=${"dot " + s.style} cx=${one[0]} cy=${one[1]} r="3.5"/>`; }
        return html`<polyline class=${"line " + s.style} points=${at.join(" ")}/>`;
      })}<//>`;
    return html`<div>${props.title ? html`<h3>${props.title}</h3>` : null}${legend}${chart}</div>`;
  }

  /* The network from input to output: a bar per layer of units, a band per layer of weights, fainter when sparser. */
  function Hourglass(props) {
    var widths = props.widths, size = [560, 190], step = (size[0] - 70) / Math.max(widths.length - 1, 1);
    var largest = Math.max.apply(null, widths);
    var heights = widths.map(function (w) { return 18 + 112 * Math.log(w + 1) / Math.log(largest + 1); });
    return html`<${Svg} size=${size} title="layers of the network">
      ${props.densities.map(function (density, i) {
        var x0 = 35 + i * step, x1 = 35 + (i + 1) * step, h0 = heights[i] / 2, h1 = heights[i + 1] / 2;
        var band = [[x0, 80 - h0], [x1, 80 - h1], [x1, 80 + h1], [x0, 80 + h0]].map(function (p) { return p[0].toFixed(1) + "," + p[1].toFixed(1); }).join(" ");
        return html`<polygon class="band" points=${band} fill-opacity=${(0.08 + 0.6 * Math.sqrt(density)).toFixed(3)}/>
          <text class="tick mid" x=${(x0 + x1) / 2} y="184">${dsae.percent(density)}</text>`;
      })}
      ${widths.map(function (width, i) {
        var x = 35 + i * step;
        return html`<rect class=${i === props.code ? "unit code" : "unit"} x=${x - 4} y=${80 - heights[i] / 2} width="8" height=${heights[i]} rx="3"/>
          <text class="width mid" x=${x} y="163">${dsae.number(width)}</text>`;
      })}<//>`;
  }

  /* A table that is drawn whole. `columns`: {key, title, form, left, name, sort}; a form may return elements. */
  function Table(props) {
    return html`<div class="scroll"><table class=${props.tight ? "tight" : ""}><thead><tr>${props.columns.map(function (column) {
      var sorted = props.sort && props.sort.key === column.key ? (props.sort.down ? "descending" : "ascending") : undefined;
      var title = props.onSort && column.sort !== false
        ? html`<button type="button" onClick=${function () { props.onSort(column.key); }}>${column.title}</button>` : column.title;
      return html`<th class=${column.left ? "left" : ""} aria-sort=${sorted} scope="col">${title}</th>`;
    })}</tr></thead><tbody>${props.rows.map(function (row) {
      var pick = props.onPick ? function () { props.onPick(row); } : undefined;
      return html`<tr class=${(row.own ? "own " : "") + (pick ? "pick" : "")} onClick=${pick}>${props.columns.map(function (column) {
        var value = row[column.key], form = column.form || (typeof value === "number" ? dsae.number : clean);
        var style = (column.left ? "left " : "") + (column.name ? "name " : "") + (column.wrap ? "wrap " : "") + (row.best && row.best[column.key] ? "best" : "");
        return html`<td class=${style} title=${column.name ? clean(value) : undefined}>${form(value, row)}</td>`;
      })}</tr>`;
    })}</tbody></table></div>`;
  }

  dsae.ticks = ticks;
  dsae.logTicks = logTicks;
  dsae.scale = scale;
  dsae.thin = thin;
  dsae.Bars = Bars;
  dsae.Histogram = Histogram;
  dsae.Lines = Lines;
  dsae.Hourglass = Hourglass;
  dsae.Table = Table;
})(dsae);
