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

  // `total`: by what the output of each modality is multiplied in this row, where counts have totals.
  function byLayers(latents, values, changed, total) {
    var network = dsae.get("network");
    if (!network) return undefined;
    function made(values) {
      var code = new Float64Array(dsae.index.n_latents), out = new Float64Array(dsae.index.n_features);
      latents.forEach(function (latent, k) { code[latent] = values[k]; });
      dsae.index.modalities.forEach(function (m, i) {
        var factor = total === undefined ? 1 : total.length === undefined ? total : total[i];
        network.layers[i].reduce(layered, code).forEach(function (value, j) { out[m.first + j] = factor * value; });
      });
      return out;
    }
    return { before: made(values), after: made(changed) };
  }

  function layered(from, layer) {
    var to = Float64Array.from(layer.bias);
    for (var i = 0; i < to.length; i++) for (var p = layer.ptr[i]; p < layer.ptr[i + 1]; p++) to[i] += layer.value[p] * from[layer.column[p]];
    return ACTIVATIONS[layer.activation](to);
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

  function add(to, atom, factor) {
    for (var k = 0; k < atom.feature.length; k++) to[atom.feature[k]] += factor * atom.value[k];
  }

  // Squared error of a reconstruction over the known values of a row; null where not all of the row is in the folder.
  function errorOf(row, made) {
    if (!row.x || row.x.n < row.n_x) return null;
    var total = 0, index = dsae.index, x = new Map();
    for (var k = 0; k < row.x.n; k++) x.set(row.x.feature[k], row.x.value[k]);
    index.modalities.forEach(function (m, i) {
      if (!dsae.has(row, i)) return;
      for (var j = m.first; j < m.first + m.n_features; j++) {
        var d = (x.has(j) ? x.get(j) : 0) - made[j];
        if (d === d) total += d * d;
      }
    });
    return total;
  }

  // Squared errors of a row before and after some latents are given other values; null where the folder has too little
  // of the row. `made` is what `decoded` gave, or null.
  function errors(row, made, change) {
    var after = made ? errorOf(row, made.after) : null, rise;
    if (after !== null) return [errorOf(row, made.before), after];
    rise = riseOf(row, change);
    return rise === null ? null : [row.error, row.error + rise];
  }

  // By how much the error rises, from what is stored of each latent alone: the rise without it, 2 z r.D + |z D|^2 with
  // the residual r. Of products it tells r.D, and so the rise of any change: |r - sum d D|^2 - |r|^2.
  function riseOf(row, change) {
    var code = row.code, latents = Array.from(code.latent), moves = [], rise = 0;
    if (!code.off) return null;
    change.forEach(function (value, i) {
      var at = latents.indexOf(i), z = at < 0 ? 0 : code.value[at];
      if (value !== z) moves.push({ latent: i, z: z, by: value - z, off: at < 0 ? null : code.off[at] });
    });
    if (moves.length === 1 && moves[0].z && moves[0].by === -moves[0].z) return moves[0].off;
    // Of values that are not known nobody here can tell which these are.
    if (!dsae.index.exact || dsae.features.fill || moves.some(function (move) { return !move.z; })) return null;
    var sizes = lengths(row, moves);
    if (!sizes) return null;
    moves.forEach(function (move, k) { rise -= move.by * (move.off - move.z * move.z * sizes.each[k]) / move.z; });
    return rise + sizes.all;
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
  dsae.errors = errors;
  dsae.changed = changed;
  dsae.pixels = pixels;
  dsae.rangeOf = rangeOf;
})(dsae);
