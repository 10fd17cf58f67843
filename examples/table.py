"""A table of numbers, classes and dates: encode it, get it back, and find the row that does not fit.

The table is made here: 400 flats whose rent follows from size, district and whether they have a lift.
"""

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline

from dsae import DeepSparseAutoencoder, DSAOutlierDetector
from dsae.features import TableRows

rng = np.random.default_rng(0)
n = 400
price = {"harbour": 21.0, "old town": 18.0, "garden city": 13.0, "airport": 9.0}
flats = pd.DataFrame(
    {
        "flat": [f"flat-{i}" for i in range(n)],
        "district": rng.choice(list(price), n, p=[0.2, 0.3, 0.4, 0.1]),
        "size": rng.gamma(8, 9, n).round(),
        "lift": rng.random(n) < 0.5,
        "let since": pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 3000, n), "D"),
    }
)
flats["rent"] = (flats["size"] * flats["district"].map(price) * (1 + 0.1 * flats["lift"])).round(-1)
flats.loc[17, ["district", "size", "rent"]] = ["airport", 30.0, 1900.0]

rows = TableRows()
dsa = DeepSparseAutoencoder(
    n_components=4, hidden_layer_sizes=(64,), density=0.3, max_iter=100, batch_size=32, random_state=0
)
pipeline = make_pipeline(rows, dsa).fit(flats)
print("features:", ", ".join(rows.get_feature_names_out()))
back = pipeline.inverse_transform(pipeline.transform(flats))
right = (back["district"] == flats["district"]).mean()
error = (back["rent"] - flats["rent"]).std() / flats["rent"].std()
print(f"4 numbers for each flat: {right:.0%} of the districts, the rent within {error:.2f} of its spread")

detector = make_pipeline(TableRows(), DSAOutlierDetector(random_state=0)).fit(flats)
oddest = flats.iloc[detector.score_samples(flats).argmin()]
print(
    f"the oddest is {oddest['flat']}: {oddest['size']:.0f} square metres at {oddest['rent']:.0f}, {oddest['district']}"
)
