"""Runs in an environment with `recordlinkage`: its indexing, comparisons and classifiers on records from stdin.

It imports nothing of Rollbook. Half of the people, those with even numbers, are for learning where a classifier learns;
precision and recall are of the pairs of the others, as they are for an unsupervised classifier as well.
"""

import json
import sys
import time

import pandas
import recordlinkage
from recordlinkage.index import Block

FIELDS = ("given_name", "surname", "street", "suburb", "postcode", "date_of_birth")


def main():
    frame = pandas.DataFrame(json.load(sys.stdin))
    began = time.perf_counter()
    indexer = recordlinkage.Index()
    for on in ("date_of_birth", "postcode", "surname", "given_name"):
        indexer.add(Block(on))
    pairs = indexer.index(frame)
    compare = recordlinkage.Compare()
    for field in ("given_name", "surname", "street", "suburb"):
        compare.string(field, field, method="jarowinkler", threshold=0.85, label=field)
    for field in ("postcode", "date_of_birth"):
        compare.exact(field, field, label=field)
    features = compare.compute(pairs, frame)
    seconds = time.perf_counter() - began
    numbers = frame["number"].to_numpy()
    first = numbers[features.index.get_level_values(0)]
    second = numbers[features.index.get_level_values(1)]
    same = first == second
    learning = (first % 2 == 0) & (second % 2 == 0)
    to_find = (pandas.Series(numbers).unique() % 2 == 1).sum()
    rows = []
    for name, classifier, learns in (
        ("recordlinkage, ECM (learns unaided)", recordlinkage.ECMClassifier(use_col_names=False), False),
        ("recordlinkage, logistic (learns from half)", recordlinkage.LogisticRegressionClassifier(), True),
        (
            "recordlinkage, naive Bayes (learns from half)",
            recordlinkage.NaiveBayesClassifier(use_col_names=False),
            True,
        ),
    ):
        if learns:
            classifier.fit(features[learning], features.index[learning & same])
        else:
            classifier.fit(features)
        found = features.index.isin(classifier.predict(features)) & ((first % 2 == 1) | (second % 2 == 1))
        right = int((found & same).sum())
        rows.append(
            {
                "name": name,
                "precision": right / max(1, int(found.sum())),
                "recall": right / int(to_find),
                "compared": len(features),
                "pairs_per_s": len(features) / seconds,
            }
        )
    json.dump(rows, sys.stdout)


main()
