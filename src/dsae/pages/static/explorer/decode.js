/* Codes decoded in the page: x = bias + sum of z D by the atoms of one layer, or through the layers of a deeper decoder. */
(function (dsae) {
  "use strict";

  // Reconstruction of a row's code before and after some latents are given other values (a map from latent to value).
  // Undefined while weights are on their way, null where the page cannot know it.
  function decoded(row, change) {
    if (!decodable(row)) return null;
    var latents = Array.from(row.code.latent), values = Array.from(row.code.value);
    change.forEach(function (value, latent) {
      if (latents.indexOf(latent) < 0) { latents.push(latent); values.push(0); }
    });
    var changed = values.map(function (value, k) { return change.has(latents[k]) ? change.get(latents[k]) : value; });
    return dsae.index.exact ? byAtoms(latents, values, changed) : byLayers(latents, values, changed, row.total);
  }

  // Whether weights are in the folder, and the whole code of the row is.
  function decodable(row) {
    return dsae.index.decoder && row.code.n >= (row.n_code === undefined ? row.n_on : row.n_code);
  }

  function byAtoms(latents, values, changed) {
    var atoms = dsae.atoms(latents);
    if (!atoms) return undefined;
    var before = Float64Array.from(dsae.features.bias), after;
    latents.forEach(function (_, k) { add(before, atoms[k], values[k]); });
    after = before.slice();
    latents.forEach(function (_, k) { if (changed[k] !== values[k]) add(after, atoms[k], changed[k] - values[k]); });
    return { before: before, after: after };
  }

  // What the decoder makes of a code, without the totals of rows.
  function through(network, code) {
    var out = new Float64Array(dsae.index.n_features);
    dsae.index.modalities.forEach(function (m, i) { out.set(network.layers[i].reduce(layered, code), m.first); });
    return out;
  }

  function coded(latents, values) {
    var code = new Float64Array(dsae.index.n_latents);
    latents.forEach(function (latent, k) { code[latent] = values[k]; });
    return code;
  }

  // `total`: by what the output of each modality is multiplied in this row, where counts have totals.
  function byLayers(latents, values, changed, total) {
    var network = dsae.get("network");
    if (!network) return undefined;
    function made(values) {
      var out = through(network, coded(latents, values));
      if (total !== undefined) dsae.index.modalities.forEach(function (m, i) {
        var factor = total.length === undefined ? total : total[i];
        for (var j = m.first; j < m.first + m.n_features; j++) out[j] *= factor;
      });
      return out;
    }
    return { before: made(values), after: made(changed) };
  }

  function layered(from, layer) { return ACTIVATIONS[layer.activation](product(layer, from, layer.bias)); }

  function product(layer, from, start) {
    var to = Float64Array.from(start);
    for (var i = 0; i < to.length; i++) for (var p = layer.ptr[i]; p < layer.ptr[i + 1]; p++) to[i] += layer.value[p] * from[layer.column[p]];
    return to;
  }

  // As dsae.config.ACTIVATIONS has them; exp ends at its largest argument.
  var ACTIVATIONS = {
    identity: function (z) { return z; },
    relu: function (z) { return z.map(function (v) { return Math.max(v, 0); }); },
    sigmoid: function (z) { return z.map(function (v) { return 1 / (1 + Math.exp(-v)); }); },
    exp: function (z) { return z.map(function (v) { return Math.exp(Math.min(v, 15)); }); },
    softmax: function (z) {
      var top = z.reduce(function (a, b) { return Math.max(a, b); }, -Infinity), shares = z.map(function (v) { return Math.exp(v - top); });
      var sum = shares.reduce(function (a, b) { return a + b; }, 0);
      return shares.map(function (v) { return v / sum; });
    }
  };

  // From derivatives of what enters an activation to those of what it gives.
  var SLOPES = {
    identity: function (z, moved) { return moved; },
    relu: function (z, moved) { return moved.map(function (v, i) { return z[i] > 0 ? v : 0; }); },
    sigmoid: function (z, moved) { var s = ACTIVATIONS.sigmoid(z); return moved.map(function (v, i) { return v * s[i] * (1 - s[i]); }); },
    exp: function (z, moved) { return moved.map(function (v, i) { return z[i] < 15 ? v * Math.exp(z[i]) : 0; }); },
    softmax: function (z, moved) {
      var shares = ACTIVATIONS.softmax(z), mean = shares.reduce(function (sum, share, i) { return sum + share * moved[i]; }, 0);
      return moved.map(function (v, i) { return shares[i] * (v - mean); });
    }
  };

  var STEPS = 64, known = { key: null };
  // What a latent of a row adds to each feature, where that is no product: integrated gradients from the code zero, as
  // `dsae.interpret.contributions` has them, and by how much all latents of the row together miss the output.
  function contributed(row, latent) {
    if (dsae.index.exact || !decodable(row)) return null;
    var network = dsae.get("network"), key = row.row + ":" + latent;
    if (!network) return undefined;
    if (known.key !== key) known = { key: key, found: integrated(network, row, latent) };
    return known.found;
  }

  function integrated(network, row, latent) {
    var code = coded(Array.from(row.code.latent), Array.from(row.code.value)), one = new Float64Array(code.length);
    var parts = new Float64Array(dsae.index.n_features), all = new Float64Array(parts.length), missed = 0, whole = 0;
    one[latent] = code[latent];
    dsae.index.modalities.forEach(function (m, i) {
      for (var s = 0; s < STEPS; s++) {
        var point = code.map(function (v) { return v * (s + 0.5) / STEPS; }), moved = network.layers[i].reduce(ahead, { at: point, by: [one, code] }).by;
        for (var j = 0; j < m.n_features; j++) { parts[m.first + j] += moved[0][j] / STEPS; all[m.first + j] += moved[1][j] / STEPS; }
      }
    });
    var start = through(network, new Float64Array(code.length)), stop = through(network, code);
    stop.forEach(function (value, j) { missed += Math.pow(start[j] + all[j] - value, 2); whole += Math.pow(value - start[j], 2); });
    return { parts: parts, gap: Math.sqrt(whole > 0 ? missed / whole : missed) };
  }

  // A point and what moves at it, through a layer.
  function ahead(state, layer) {
    var z = product(layer, state.at, layer.bias), none = new Float64Array(z.length);
    var by = state.by.map(function (moved) { return SLOPES[layer.activation](z, product(layer, moved, none)); });
    return { at: ACTIVATIONS[layer.activation](z), by: by };
  }

  function add(to, atom, factor) {
    for (var k = 0; k < atom.feature.length; k++) to[atom.feature[k]] += factor * atom.value[k];
  }

  function square(x, made) { return (x - made) * (x - made); }

  // As dsae.config.LOSSES have it: deviances of counts, of which rates below 1e-7 count as that.
  function deviance(x, made) {
    var rate = Math.max(made, 1e-7);
    return 2 * Math.max((x ? x * Math.log(x / rate) : 0) - x + rate, 0);
  }

  function binomial(x, made, j) {
    var rate = Math.max(made, 1e-7), size = dsae.features.dispersion[j];
    return 2 * Math.max((x ? x * Math.log(x / rate) : 0) - (x + size) * Math.log((x + size) / (rate + size)), 0);
  }

  // The error of one value; undefined of a loss of the user's own.
  function unitOf(m) {
    return dsae.index.error === "squared error" ? square : { mse: square, bce: square, poisson: deviance, multinomial: deviance, nb: binomial }[m.loss];
  }

  // Mean error of a reconstruction over the known values of a row; null where not all of the row is in the folder.
  function errorOf(row, made) {
    var index = dsae.index, total = 0, x = new Map();
    if (!row.x || row.x.n < row.n_x || !index.modalities.every(unitOf)) return null;
    for (var k = 0; k < row.x.n; k++) x.set(row.x.feature[k], row.x.value[k]);
    index.modalities.forEach(function (m, i) {
      var unit = unitOf(m);
      if (!dsae.has(row, i)) return;
      for (var j = m.first; j < m.first + m.n_features; j++) {
        var value = x.has(j) ? x.get(j) : 0;
        if (value === value) total += unit(value, made[j], j);
      }
    });
    return total / Math.max(row.n_known, 1);
  }

  // Errors of a row before and after some latents are given other values; null where the folder has too little
  // of the row. `made` is what `decoded` gave, or null.
  function errors(row, made, change) {
    var after = made ? errorOf(row, made.after) : null, rise;
    if (after !== null) return [errorOf(row, made.before), after];
    rise = riseOf(row, change);
    return rise === null ? null : [row.error, row.error + rise];
  }

  // By how much the error rises, from what is stored of each latent alone: the rise without it, 2 z r.D + |z D|^2 with
  // the residual r. Of products it tells r.D, and so the rise of any change: |r - sum d D|^2 - |r|^2; all over the
  // number of known values.
  function riseOf(row, change) {
    var code = row.code, latents = Array.from(code.latent), moves = [], rise = 0, n = row.n_known;
    if (!code.off) return null;
    change.forEach(function (value, i) {
      var at = latents.indexOf(i), z = at < 0 ? 0 : code.value[at];
      if (value !== z) moves.push({ latent: i, z: z, by: value - z, off: at < 0 ? null : code.off[at] });
    });
    if (moves.length === 1 && moves[0].z && moves[0].by === -moves[0].z) return moves[0].off;
    // Of values that are not known nobody here can tell which these are.
    if (!dsae.index.exact || dsae.index.error !== "squared error" || dsae.features.fill || moves.some(function (move) { return !move.z; })) return null;
    var sizes = lengths(row, moves);
    if (!sizes) return null;
    moves.forEach(function (move, k) { rise -= move.by * (n * move.off - move.z * move.z * sizes.each[k]) / move.z; });
    return (rise + sizes.all) / n;
  }

  // |D|^2 of each atom, and |sum d D|^2 of all of them, over the modalities that a row has.
  function lengths(row, moves) {
    var whole = dsae.index.modalities.every(function (_, i) { return dsae.has(row, i); });
    if (moves.length === 1 && whole) {  // needs no atom
      var norm = dsae.columns.norm[moves[0].latent], by = moves[0].by;
      return { each: [norm * norm], all: by * by * norm * norm };
    }
    var atoms = dsae.index.decoder ? dsae.atoms(moves.map(function (move) { return move.latent; })) : null;
    if (!atoms) return null;
    var total = new Float64Array(dsae.index.n_features), known = new Uint8Array(total.length);
    dsae.index.modalities.forEach(function (m, i) { if (dsae.has(row, i)) known.fill(1, m.first, m.first + m.n_features); });
    var each = atoms.map(function (atom, k) {
      var square = 0;
      for (var p = 0; p < atom.feature.length; p++) {
        if (!known[atom.feature[p]]) continue;
        square += atom.value[p] * atom.value[p];
        total[atom.feature[p]] += moves[k].by * atom.value[p];
      }
      return square;
    });
    return { each: each, all: total.reduce(function (sum, v) { return sum + v * v; }, 0) };
  }

  // Features that change most from one reconstruction to another, largest first.
  function changed(before, after, most) {
    var order = [];
    for (var j = 0; j < before.length; j++) if (after[j] !== before[j]) order.push(j);
    order.sort(function (a, b) { return Math.abs(after[b] - before[b]) - Math.abs(after[a] - before[a]) || a - b; });
    return order.slice(0, most);
  }

  // Values of a modality as they stand in a picture, if its features are the pixels: one channel after another, where
  // pictures have the channels of a pixel side by side.
  function pixels(modality, made) {
    var shape = modality.shape, channels = shape ? shape[2] || 1 : 0, n = shape ? shape[0] * shape[1] : 0;
    if (!shape || n * channels !== modality.n_features) return null;
    var values = new Float64Array(n * channels);
    for (var c = 0; c < channels; c++) for (var i = 0; i < n; i++) values[i * channels + c] = made[modality.first + c * n + i];
    return values;
  }

  function rangeOf(values) {
    var low = Infinity, high = -Infinity;
    for (var k = 0; k < values.length; k++) { if (values[k] < low) low = values[k]; if (values[k] > high) high = values[k]; }
    return [low, high];
  }

  // What black and white stand for in the pictures of a modality.
  function levels(modality, values) {
    return modality.low < modality.high ? [modality.low, modality.high] : rangeOf(values);
  }

  dsae.levels = levels;
  dsae.decoded = decoded;
  dsae.decodable = decodable;
  dsae.contributed = contributed;
  dsae.errors = errors;
  dsae.changed = changed;
  dsae.pixels = pixels;
  dsae.rangeOf = rangeOf;
})(dsae);
