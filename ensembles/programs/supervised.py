"""Classifiers and regressors: a `QNN` with a usual loss, and what one wants to know of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import jaxsim
from ensembles.programs.arguments import remembers_arguments
from ensembles.programs.qnn import QNN

__all__ = ["QNNClassifier", "QNNRegressor"]


class QNNRegressor(QNN):
    """A `QNN` for real targets, with the squared loss; results also have `r2`, the share of the targets' variance that
    is explained at the best weights (1: all of it).

    Expectation values of Pauli words lie between -1 and 1: scale the targets, or the observables.
    """

    kind = "QNNRegressor"

    def _judged(self, outputs: np.ndarray) -> dict[str, Any]:
        spread = float(((self.targets - self.targets.mean(axis=0)) ** 2).sum())
        missed = float(((self.targets - outputs) ** 2).sum())
        return {**super()._judged(outputs), "r2": 1 - missed / spread if spread else math.nan}


class QNNClassifier(QNN):
    """A `QNN` for labels. Two classes and one observable: its sign decides, and the loss is "logistic". Several
    observables: one a class, the largest decides, and the loss is "cross_entropy".

    Results also have `accuracy`, the share of samples that the best weights classify correctly.

    Args:
        circuit, observables, inputs: as for `QNN`.
        labels: (samples,) numbers or strings. The classes are the different labels, sorted: for one observable the
            first class is negative, the second positive.
        classes: the classes, if not all of them occur in `labels`.
        sharpness: as for `QNN`; 4 by default.
        loss: by default as said above; also "hinge" for one observable, or a function.
        features, batch_size, optimizer, steps, initial_parameters, dtype, engine: as for `QNN`.

    Raises:
        TypeError, ValueError: as `QNN`; labels that are no classes; another number of classes than observables.

    Example:
        >>> import numpy as np
        >>> from ensembles import ProgramEnsemble, adam
        >>> from jaxsim import Circuit, ParameterVector, Z
        >>> x, w = ParameterVector("x", 2), ParameterVector("w", 4)
        >>> circuit = Circuit(2).ry(x, range(2)).ry(w[:2], range(2)).cx(0, 1).ry(w[2:], range(2))
        >>> inputs = np.random.default_rng(0).uniform(-1, 1, (24, 2))
        >>> labels = np.where(inputs[:, 0] > 0.2, "right", "left")
        >>> qnn = QNNClassifier(circuit, Z(0), inputs, labels, optimizer=adam(0.1), steps=60)
        >>> best = ProgramEnsemble([qnn]).run(progress=False)[0]
        >>> best.accuracy > 0.9, qnn.predict(best.parameters, [[0.9, 0.0], [-0.9, 0.0]]).tolist()
        (True, ['right', 'left'])
    """

    kind = "QNNClassifier"

    @remembers_arguments
    def __init__(
        self,
        circuit: jaxsim.Circuit,
        observables: jaxsim.PauliSum | Sequence[jaxsim.PauliSum],
        inputs: Any,
        labels: Any,
        *,
        features: str | Sequence[Any] = "x",
        classes: Sequence[Any] | None = None,
        loss: str | Callable[..., Any] | None = None,
        sharpness: float = 4.0,
        batch_size: int | None = None,
        optimizer: Any,
        steps: int | None = None,
        initial_parameters: Any = None,
        dtype: Any = None,
        engine: str = "auto",
    ) -> None:
        self.labels = np.asarray(labels)
        if self.labels.ndim != 1:
            raise ValueError(
                f"QNNClassifier: labels must have shape (samples,), but have shape {self.labels.shape}."
            )
        self.classes = np.unique(self.labels) if classes is None else np.asarray(classes)
        outputs = 1 if isinstance(observables, jaxsim.PauliSum) else len(observables)
        if len(self.classes) != max(outputs, 2):
            raise ValueError(
                f"QNNClassifier: there are {len(self.classes)} classes; two classes take one observable or two, "
                f"more of them one each, but {outputs} were given."
            )
        places = {label: k for k, label in enumerate(self.classes.tolist())}
        if strangers := [label for label in self.labels.tolist() if label not in places]:
            raise ValueError(
                f"QNNClassifier: the label {strangers[0]!r} is none of the classes {list(places)}."
            )
        index = np.array([places[label] for label in self.labels.tolist()], np.int64)
        targets = 2.0 * index - 1 if outputs == 1 else np.eye(outputs)[index]
        super().__init__(
            circuit,
            observables,
            inputs,
            targets,
            features=features,
            loss=loss or ("logistic" if outputs == 1 else "cross_entropy"),
            sharpness=sharpness,
            batch_size=batch_size,
            optimizer=optimizer,
            steps=steps,
            initial_parameters=initial_parameters,
            dtype=dtype,
            engine=engine,
        )

    def predict(self, parameters: Any, inputs: Any) -> np.ndarray:
        """The predicted labels, (samples,)."""
        return self._decided(self.outputs(parameters, inputs))

    def _decided(self, outputs: np.ndarray) -> np.ndarray:
        index = (outputs[:, 0] > 0).astype(int) if outputs.shape[1] == 1 else outputs.argmax(axis=1)
        return self.classes[index]

    def _judged(self, outputs: np.ndarray) -> dict[str, Any]:
        return {**super()._judged(outputs), "accuracy": float(np.mean(self._decided(outputs) == self.labels))}
