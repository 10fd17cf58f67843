/* What is drawn by pixels, and lists too long to exist whole. */
(function (dsae) {
  "use strict";
  var html = dsae.html, useRef = htmPreact.useRef, useState = htmPreact.useState;
  var useLayoutEffect = htmPreact.useLayoutEffect;

  // Faint values are transparent, so that the same picture sits on a light and on a dark page.
  var PALETTES = {
    gray: function (v, to, at) { to[at] = to[at + 1] = to[at + 2] = 255 * v; to[at + 3] = 255; },
    heat: function (v, to, at) { to[at] = 64; to[at + 1] = 112; to[at + 2] = 232; to[at + 3] = 255 * v; },
    diverging: function (v, to, at) {
      var signed = 2 * v - 1, up = signed > 0;
      to[at] = up ? 222 : 44; to[at + 1] = up ? 92 : 104; to[at + 2] = up ? 36 : 214; to[at + 3] = 255 * Math.abs(signed);
    }
  };

  // Pixels of flat values between low and high; three values a pixel for rgb. Unknown ones count as low.
  function paint(canvas, values, shape, palette, low, high) {
    var height = shape[0], width = shape[1], image = new ImageData(width, height), to = image.data, n = width * height;
    var span = high > low ? high - low : 1, color = PALETTES[palette];
    function level(value) { return Math.min(Math.max(((isFinite(value) && value !== null ? value : low) - low) / span, 0), 1); }
    for (var i = 0; i < n; i++) {
      if (palette === "rgb") {
        for (var c = 0; c < 3; c++) to[4 * i + c] = 255 * level(values[3 * i + c]);
        to[4 * i + 3] = 255;
      } else color(level(values[i]), to, 4 * i);
    }
    canvas.width = width; canvas.height = height;
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  /* `palette` diverging is symmetric about 0 up to `high`, by default the largest value. */
  function Picture(props) {
    var ref = useRef(null), palette = props.palette || "gray";
    useLayoutEffect(function () {
      var low = props.low, high = props.high, values = props.values;
      if (high === undefined) {
        low = Infinity; high = -Infinity;
        for (var i = 0; i < values.length; i++) { if (values[i] < low) low = values[i]; if (values[i] > high) high = values[i]; }
        if (palette === "diverging") high = Math.max(Math.abs(low), Math.abs(high));
        if (palette === "heat") low = 0;
      }
      if (palette === "diverging") low = -high;
      paint(ref.current, values, props.shape, palette, low || 0, high);
    });
    return html`<canvas ref=${ref} class=${"picture " + (props.class || "")} role="img" aria-label=${props.title} title=${props.title}></canvas>`;
  }

  function Sound(props) {
    return html`<audio controls preload="none" autoplay=${!!props.now} aria-label=${props.title} src=${"data:audio/wav;base64," + props.wav}></audio>`;
  }

  function resolved(color) {
    // Canvases know no variables of the style sheet.
    return color.indexOf("var(") === 0 ? dsae.color(color.slice(6, -1)) : color;
  }

  // Colours as numbers: [r, g, b]; the browser parses them once each.
  var known = {};
  function rgb(color) {
    color = resolved(color);
    if (!known[color]) {
      var context = document.createElement("canvas").getContext("2d");
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
      known[color] = context.getImageData(0, 0, 1, 1).data;
    }
    return known[color];
  }

  /* Points by writing pixels: a million are drawn at once where a path per point would take seconds.
     `color`: one for all or a function of the point; `shown`: a function that says whether a point is drawn. */
  function Scatter(props) {
    var ref = useRef(null), tip = useRef(null), view = useRef({ k: 1, x: 0, y: 0 }), drag = useRef(null);
    var height = props.height || 320, n = props.x.length;
    var space = props.bare ? [6, 6, 6, 6] : [62, 10, 8, 36];  // left, right, top, bottom
    function span(values, log) {
      var low = Infinity, high = -Infinity;
      for (var i = 0; i < n; i++) {
        var v = values[i];
        if (!isFinite(v) || (log && !(v > 0))) continue;
        if (v < low) low = v;
        if (v > high) high = v;
      }
      if (!(high >= low)) return [log ? 0.1 : 0, 1];
      if (log) return [low / 1.3, high * 1.3];
      var margin = 0.04 * (high - low) || 1;
      return [low - margin, high + margin];
    }
    function places(canvas) {
      var width = canvas.clientWidth, v = view.current, xs = span(props.x, props.logx), ys = span(props.y, props.logy);
      var fx = dsae.scale(xs[0], xs[1], space[0], width - space[1], props.logx), fy = dsae.scale(ys[0], ys[1], height - space[3], space[2], props.logy);
      return {
        xs: xs, ys: ys, width: width,
        x: function (value) { return fx(value) * v.k + v.x; },
        y: function (value) { return fy(value) * v.k + v.y; }
      };
    }
    function draw() {
      var canvas = ref.current, ratio = window.devicePixelRatio || 1, at = places(canvas), k = view.current.k;
      if (!at.width) return;
      var W = canvas.width = Math.round(at.width * ratio), H = canvas.height = Math.round(height * ratio);
      var image = new ImageData(W, H), data = image.data, soft = n > 20000;
      var half = Math.max(Math.round((n > 20000 ? 0.5 : n > 4000 ? 1 : n > 1000 ? 1.7 : n > 300 ? 2.5 : props.bare ? 4 : 2.4) * ratio * Math.sqrt(k)), 1);
      var same = typeof props.color === "function" ? null : rgb(props.color || "var(--c1)");
      function dot(i, r, ink) {
        var cx = Math.round(at.x(props.x[i]) * ratio), cy = Math.round(at.y(props.y[i]) * ratio);
        for (var y = Math.max(cy - r, 0); y <= Math.min(cy + r, H - 1); y++) {
          for (var x = Math.max(cx - r, 0); x <= Math.min(cx + r, W - 1); x++) {
            if (r > 1 && (x - cx) * (x - cx) + (y - cy) * (y - cy) > r * r + 0.8 * r) continue;
            var p = 4 * (y * W + x);
            data[p] = ink[0]; data[p + 1] = ink[1]; data[p + 2] = ink[2]; data[p + 3] = Math.max(data[p + 3], Math.min(data[p + 3] + (soft ? 120 : 205), 255));
          }
        }
      }
      // What has no value lies below what has.
      for (var layer = same ? 1 : 0; layer < 2; layer++) {
        for (var i = 0; i < n; i++) {
          if (props.shown && !props.shown(i)) continue;
          if (!isFinite(props.x[i]) || !isFinite(props.y[i]) || (props.logx && !(props.x[i] > 0)) || (props.logy && !(props.y[i] > 0))) continue;
          var color = same ? null : props.color(i);
          if (same || (color === "var(--rule)") === (layer === 0)) dot(i, half, same || rgb(color));
        }
      }
      if (props.here !== undefined && props.here !== null && props.here < n) dot(props.here, half + Math.round(3 * ratio), rgb("var(--c2)"));
      var context = canvas.getContext("2d");
      context.putImageData(image, 0, 0);
      context.scale(ratio, ratio);
      if (!props.bare) axes(context, at);
    }
    function axes(context, at) {
      var v = view.current, right = at.width - space[1], bottom = height - space[3];
      context.strokeStyle = dsae.color("rule"); context.fillStyle = dsae.color("soft");
      context.font = "11.5px system-ui, sans-serif"; context.lineWidth = 1;
      context.globalCompositeOperation = "destination-over";
      (props.logy ? logs : dsae.ticks)(at.ys[0], at.ys[1]).forEach(function (value) {
        var y = Math.round(at.y(value)) + 0.5;
        if (y < space[2] || y > bottom) return;
        context.beginPath(); context.moveTo(space[0], y); context.lineTo(right, y); context.stroke();
        context.textAlign = "right"; context.fillText((props.formY || dsae.number)(value), space[0] - 5, y + 4);
      });
      dsae.thin((props.logx ? logs : dsae.ticks)(at.xs[0], at.xs[1]), 6).forEach(function (value) {
        var x = at.x(value);
        if (x < space[0] || x > right) return;
        var text = (props.formX || dsae.number)(value), half = context.measureText(text).width / 2;
        context.textAlign = "center"; context.fillText(text, Math.min(x, at.width - half), bottom + 15);
      });
      context.globalCompositeOperation = "source-over";
      context.beginPath(); context.moveTo(space[0], bottom + 0.5); context.lineTo(right, bottom + 0.5); context.stroke();
      context.textAlign = "right"; context.fillText(props.xLabel || "", right, height - 4);
      context.textAlign = "left"; context.fillText(props.yLabel || "", 2, 9);
      if (v.k !== 1) { context.textAlign = "right"; context.fillText("zoom " + v.k.toFixed(1) + " \u00d7, double click to reset", right, space[2] + 10); }
    }
    function logs(low, high) { return dsae.thin(dsae.logTicks(low, high), 8); }
    function nearest(event) {
      var canvas = ref.current, box = canvas.getBoundingClientRect(), at = places(canvas);
      var mx = event.clientX - box.left, my = event.clientY - box.top, best = null, least = 14 * 14;
      for (var i = 0; i < n; i++) {
        if (props.shown && !props.shown(i)) continue;
        var dx = at.x(props.x[i]) - mx, dy = at.y(props.y[i]) - my, d = dx * dx + dy * dy;
        if (d < least) { least = d; best = i; }
      }
      return best === null ? null : { i: best, x: mx, y: my };
    }
    function zoom(event) {
      event.preventDefault();
      var box = ref.current.getBoundingClientRect(), v = view.current, mx = event.clientX - box.left, my = event.clientY - box.top;
      var k = Math.min(Math.max(v.k * Math.exp(-event.deltaY / 400), 1), 200), grow = k / v.k;
      view.current = k === 1 ? { k: 1, x: 0, y: 0 } : { k: k, x: mx - grow * (mx - v.x), y: my - grow * (my - v.y) };
      draw();
    }
    useLayoutEffect(function () {
      draw();
      var canvas = ref.current, width = canvas.clientWidth;
      // It also tells of the size at the start.
      var watch = new ResizeObserver(function () { if (canvas.clientWidth !== width) { width = canvas.clientWidth; draw(); } });
      watch.observe(canvas.parentNode);
      if (props.zoom) canvas.addEventListener("wheel", zoom, { passive: false });
      return function () { watch.disconnect(); canvas.removeEventListener("wheel", zoom); };
    });
    function move(event) {
      if (drag.current && props.zoom && (drag.current.far || Math.abs(event.clientX - drag.current.x) + Math.abs(event.clientY - drag.current.y) > 3)) {
        view.current = { k: view.current.k, x: view.current.x + event.clientX - drag.current.x, y: view.current.y + event.clientY - drag.current.y };
        drag.current = { x: event.clientX, y: event.clientY, far: true };
        draw();
        return;
      }
      point(nearest(event));
    }
    // Written by hand: drawing the component again would draw all points again.
    function point(found) {
      var box = tip.current, width = ref.current.clientWidth;
      box.hidden = !found;
      if (!found) return;
      box.textContent = props.name ? props.name(found.i) : String(found.i);
      box.style.top = Math.max(found.y - 34, 0) + "px";
      box.style.left = found.x > width / 2 ? "auto" : found.x + 10 + "px";
      box.style.right = found.x > width / 2 ? width - found.x + 10 + "px" : "auto";
    }
    function click(event) {
      var moved = drag.current && drag.current.far, found = moved ? null : nearest(event);
      drag.current = null;
      if (found && props.onPick) props.onPick(found.i);
    }
    return html`<div class="scatter"><canvas ref=${ref} role="img" aria-label=${props.title} style=${{ height: height + "px" }}
      onPointerMove=${move} onPointerLeave=${function () { drag.current = null; point(null); }}
      onPointerDown=${function (event) { if (view.current.k > 1) drag.current = { x: event.clientX, y: event.clientY, far: false }; }}
      onClick=${click} onDblClick=${function () { view.current = { k: 1, x: 0, y: 0 }; draw(); }}></canvas><output ref=${tip} hidden></output></div>`;
  }

  /* A table of any length: `n` lines of which `line(i)` gives the cells; only those in sight exist.
     `columns`: {key, title, width, left, wide}; `here` is scrolled into sight when it changes. */
  function Long(props) {
    var ref = useRef(null), at = useState(0), tall = useState(600), wide = useState(window.innerWidth), HEIGHT = 30, AROUND = 8;
    var first = Math.max(Math.floor(at[0] / HEIGHT) - AROUND, 0);
    var last = Math.min(Math.ceil((at[0] + tall[0]) / HEIGHT) + AROUND, props.n);
    useLayoutEffect(function () {
      var body = ref.current, y = props.here * HEIGHT;
      tall[1](body.clientHeight);
      wide[1](body.clientWidth);
      if (props.here >= 0 && (y < body.scrollTop || y + HEIGHT > body.scrollTop + body.clientHeight)) body.scrollTop = Math.max(y - body.clientHeight / 2, 0);
      if (body.scrollTop !== at[0]) at[1](body.scrollTop);
    }, [props.here, props.n]);
    useLayoutEffect(function () {
      var watch = new ResizeObserver(function () { tall[1](ref.current.clientHeight); wide[1](ref.current.clientWidth); });
      watch.observe(ref.current);
      return function () { watch.disconnect(); };
    }, []);
    var narrow = wide[0] < 700;  // too narrow for columns that one can do without
    var grid = props.columns.filter(function (c) { return !(narrow && c.wide); }).map(function (c) { return (narrow && c.narrow) || c.width; }).join(" ");
    function style(column) { return (column.left ? "left " : "") + (column.wide ? "wide" : ""); }
    var lines = [];
    for (var i = first; i < last; i++) {
      var line = props.line(i);
      lines.push(html`<a key=${line.key} class=${"line" + (i === props.here ? " here" : "")} href=${line.href} role="row"
        style=${{ top: i * HEIGHT + "px", gridTemplateColumns: grid }}>${line.cells.map(function (cell, j) {
          return html`<span class=${style(props.columns[j])} role="cell">${cell}</span>`;
        })}</a>`);
    }
    return html`<div class=${narrow ? "long slim" : "long"} role="table" aria-rowcount=${props.n}>
      <div class="head" role="row" style=${{ gridTemplateColumns: grid }}>${props.columns.map(function (column) {
        var sorted = props.sort === column.key ? (props.down ? "descending" : "ascending") : undefined;
        return html`<span class=${style(column)} role="columnheader" aria-sort=${sorted} title=${column.hint}>${column.sort === false ? column.title
          : html`<button type="button" data-sort=${column.key} onClick=${function () { props.onSort(column.key); }}>${column.title}</button>`}</span>`;
      })}</div>
      <div class="body" ref=${ref} tabindex="-1" onScroll=${function (event) { at[1](event.target.scrollTop); }}>
        <div role="rowgroup" style=${{ height: props.n * HEIGHT + "px" }}>${lines}</div>
      </div></div>`;
  }

  dsae.paint = paint;
  dsae.Picture = Picture;
  dsae.Sound = Sound;
  dsae.Scatter = Scatter;
  dsae.Long = Long;
})(dsae);
