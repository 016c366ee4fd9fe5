"""`QNN`: circuits trained on data, which are leaves."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import jaxsim
from ensembles import names
from ensembles.optimizers import Identity
from ensembles.program import Program, Row, engine_reason
from ensembles.programs.arguments import remembers_arguments, start_vector
from ensembles.programs.sample_losses import (
    LOSSES,
    Samples,
    all_outputs,
    loss_of_each,
    padded_samples,
    sample_loss,
)
from ensembles.stopping import EarlyStopping, as_stopping
from ensembles.subjects import Hosting, LossSubject

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["QNN"]


class QNN(Program):
    """A circuit trained on samples: its outputs are expectation values, its weights make them fit the targets.

    Some parameters of the circuit are features, whose values each sample brings; the others are weights, which are
    trained. The data are leaves: programs that differ in samples (folds, noise, labels), weights or hyperparameters
    share a compiled call. The loss is the mean over all samples, or over a random minibatch, drawn for every step
    from the program's key. Results have besides the common fields `training_loss`, the mean over all samples
    at the best weights. (With minibatches the best loss is the lowest of any batch; `final_parameters` may serve
    better.)

    Args:
        circuit: any circuit with parameters for features and weights; a snapshot is taken. A feature may be used
            several times and in expressions.
        observables: a sum, or several: the outputs.
        inputs: (samples, features) real, or (samples,) for one feature.
        targets: (samples,) or (samples, outputs) real.
        features: the name of the parameter or vector that is the features, or a sequence of names or parameters.
        loss: one of "squared", "hinge", "logistic", "cross_entropy" (`LOSSES`), or a pure JAX function of the outputs
            (outputs,) and the target (outputs,) of a sample, to a real scalar.
        sharpness: factor of the outputs in "logistic" and "cross_entropy"; with 1 no probability could be above
            1 / (1 + exp(-1)), or 1 / (1 + exp(-2)) for two classes with an observable each.
        batch_size: samples of a minibatch, drawn without replacement; None: all.
        optimizer, steps, stopping, dtype, engine: as for `VQE`.
        initial_parameters: (weights,) radians in the order of the circuit's parameters without the features; None
            draws them, uniform on [-pi, pi).

    Raises:
        TypeError: no circuit, no observables, data that are not real numbers.
        ValueError: no such features, no weights, shapes that do not fit, NaN or infinity, unknown loss, a batch size
            out of range.

    Example:
        >>> import numpy as np
        >>> from ensembles import ProgramEnsemble, adam
        >>> from jaxsim import Circuit, Parameter, ParameterVector, Z
        >>> x, w = Parameter("x"), ParameterVector("w", 3)
        >>> circuit = Circuit(1).ry(w[0], 0).rx(x, 0).ry(w[1], 0).rx(x, 0).ry(w[2], 0)
        >>> inputs = np.linspace(-1, 1, 12)
        >>> qnn = QNN(circuit, Z(0), inputs, np.cos(2 * inputs), optimizer=adam(0.1), steps=100)
        >>> result = ProgramEnsemble([qnn]).run(progress=False)[0]
        >>> result.training_loss < 0.02, qnn.predict(result.parameters, [0.0]).shape
        (True, (1,))
    """

    kind = "QNN"

    @remembers_arguments
    def __init__(
        self,
        circuit: jaxsim.Circuit,
        observables: jaxsim.PauliSum | Sequence[jaxsim.PauliSum],
        inputs: Any,
        targets: Any,
        *,
        features: str | Sequence[Any] = "x",
        loss: str | Callable[..., Any] = "squared",
        sharpness: float = 1.0,
        batch_size: int | None = None,
        optimizer: Any,
        steps: int | None = None,
        stopping: EarlyStopping | None = None,
        initial_parameters: Any = None,
        dtype: Any = None,
        engine: str = "auto",
    ) -> None:
        if not isinstance(circuit, jaxsim.Circuit):
            raise TypeError(
                f"{self.kind}: the circuit is a Circuit, but a {type(circuit).__name__} was given."
            )
        several = (observables,) if isinstance(observables, jaxsim.PauliSum) else observables
        if not isinstance(several, Sequence) or not several:
            raise TypeError(
                f"{self.kind}: observables is a PauliSum or a list of them, not {observables!r:.60}."
            )
        self.circuit, self.observables, self._engine = circuit.copy(), tuple(several), engine
        lowered = jaxsim.lower(self.circuit, self.observables, engine=engine, dtype=dtype)
        chosen = _features(self.kind, circuit, features)
        self.weights = tuple(p for p in circuit.parameters if p not in chosen)
        if not self.weights:
            raise ValueError(
                f"{self.kind}: the circuit has no parameters but the features, so nothing to train."
            )
        place = {p: k for k, p in enumerate((*chosen, *self.weights))}
        self.inputs = _columns(self.kind, "inputs", inputs, len(chosen), "features")
        self.targets = _columns(self.kind, "targets", targets, len(several), "outputs")
        if len(self.inputs) != len(self.targets) or not len(self.inputs):
            raise ValueError(
                f"{self.kind}: inputs and targets must be of as many samples, at least one, but are of "
                f"{len(self.inputs)} and {len(self.targets)}."
            )
        self.loss = sample_loss(
            _kind_of_loss(self.kind, loss), _batch_size(self.kind, batch_size, len(self.inputs))
        )
        real = lowered.real_dtype
        self._data = Samples(
            row=lowered,
            inputs=padded_samples(self.inputs).astype(real),
            targets=padded_samples(self.targets).astype(real),
            count=np.int32(len(self.inputs)),
            order=np.array([place[p] for p in circuit.parameters], np.int32),
            sharpness=np.asarray(_positive(self.kind, "sharpness", sharpness), real),
        )
        self._start = np.zeros(len(self.weights), real)
        self.initial_parameters = None
        if initial_parameters is not None:
            self._start = start_vector(self.kind, self.weights, initial_parameters, real)
            self.initial_parameters = self._start
        self._set_training(optimizer, steps, stopping)

    def row(self, name: Any) -> Row:
        together = self.loss.batch_size or len(self._data.inputs)
        size = max(1, jaxsim.rows_per_block(self._data.row) // together)
        return Row(
            data=self._data,
            parameters=self._start,
            optimizer=self.optimizer,
            steps=np.int32(self.steps),
            stopping=as_stopping(self.stopping, self._start.dtype),
            words=names.name_words(name),
            drawn=np.bool_(self.initial_parameters is None),
            trained=np.ones(self._start.shape, bool),
            loss=Identity(self.loss),
            rows_per_block=size,
            rows_alone=size,
        )

    def hosting(self) -> Hosting:
        return Hosting(LossSubject(self.loss, self._start, self._data), self.initial_parameters)

    def describe(self) -> str:
        row = self._data.row
        samples = f"{len(self._data.inputs)} samples"
        if self.loss.batch_size is not None:
            samples = f"batches of {self.loss.batch_size}"
        return f"{self.kind} {row.num_wires} qubits, {len(self.weights)} weights, {samples}, engine {row.engine!r}"

    def reason(self) -> str:
        return engine_reason(self.circuit, self._engine, self._data.row)

    def state_bytes(self) -> int:
        row = self._data.row
        return 6 * row.dtype.itemsize * 2**row.num_wires * (self.loss.batch_size or len(self._data.inputs))

    def outputs(self, parameters: Any, inputs: Any) -> Float[np.ndarray, "samples outputs"]:
        """The expectation values for some inputs, (samples, outputs), at weights (weights,).

        Errors: ValueError for shapes that do not fit.
        """
        weights = np.asarray(parameters, self._data.row.real_dtype)
        if weights.shape != (len(self.weights),):
            raise ValueError(
                f"{self.kind}: parameters must have shape ({len(self.weights)},), one a weight, but have shape "
                f"{weights.shape}."
            )
        rows = _columns(self.kind, "inputs", inputs, self._data.inputs.shape[1], "features")
        data = self._data._replace(
            inputs=padded_samples(rows).astype(weights.dtype), targets=np.zeros((1, 1))
        )
        return np.asarray(all_outputs(weights, data), np.float64)[: len(rows)]

    def predict(self, parameters: Any, inputs: Any) -> np.ndarray:
        """Predictions for some inputs: (samples,), or (samples, outputs) for several observables."""
        outputs = self.outputs(parameters, inputs)
        return outputs[:, 0] if len(self.observables) == 1 else outputs

    @classmethod
    def extras(
        cls, programs: Sequence[Any], values: Sequence[float], parameters: Sequence[Any]
    ) -> list[dict[str, Any]]:
        found = []
        for program, weights in zip(programs, parameters, strict=True):
            outputs = program.outputs(weights, program.inputs)
            found.append(program._judged(outputs))
        return found

    def _judged(self, outputs: np.ndarray) -> dict[str, Any]:
        """What results say of outputs for the program's own samples."""
        sharpness = self._data.sharpness
        found = padded_samples(outputs).astype(sharpness.dtype)
        losses = np.asarray(loss_of_each(self.loss, found, self._data.targets, sharpness), np.float64)
        return {"training_loss": float(losses[: len(outputs)].mean())}


# arguments --------------------------------------------------------------------------------------------------


def _features(kind: str, circuit: jaxsim.Circuit, given: Any) -> tuple[jaxsim.Parameter, ...]:
    """The parameters that are features, in the order of the columns of the inputs."""
    wanted = [given] if isinstance(given, str | jaxsim.Parameter) else list(given)
    chosen: list[jaxsim.Parameter] = []
    for item in wanted:
        name = item.name if isinstance(item, jaxsim.Parameter | jaxsim.ParameterVector) else item
        found = [p for p in circuit.parameters if p.name == name or p.name.rpartition("[")[0] == name]
        if not found:
            some = ", ".join(p.name for p in circuit.parameters[:6])
            raise ValueError(
                f"{kind}: the circuit has no parameter or vector {name!r} to be a feature; it has {some or 'none'}"
                f"{', ...' if len(circuit.parameters) > 6 else ''}. Say which it is with features=..."
            )
        chosen += found
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{kind}: a feature is named twice in {given!r:.60}.")
    return tuple(chosen)


def _columns(kind: str, what: str, given: Any, columns: int, of: str) -> Float[np.ndarray, "samples columns"]:
    """Data as a float64 copy (samples, columns)."""
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{kind}: {what} must be real numbers, but an array of {array.dtype} was given.")
    array = array.astype(np.float64)
    if array.ndim == 1 and columns == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(
            f"{kind}: {what} must have shape (samples, {columns}), as there are {columns} {of}, but have shape "
            f"{array.shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{kind}: {what} must be finite, but NaN or infinity was given.")
    return array


def _kind_of_loss(kind: str, loss: Any) -> str | Callable[..., Any]:
    if callable(loss) or (isinstance(loss, str) and loss in LOSSES):
        return loss
    raise ValueError(
        f"{kind}: loss={loss!r} is not known; choose one of {', '.join(map(repr, LOSSES))}, or give a function of "
        "(outputs, target)."
    )


def _batch_size(kind: str, given: Any, samples: int) -> int | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, numbers.Integral):
        raise TypeError(f"{kind}: batch_size is an integer or None, but {given!r} was given.")
    if not 1 <= int(given) <= samples:
        raise ValueError(
            f"{kind}: batch_size must be from 1 to {samples}, the samples there are, but is {given}."
        )
    return int(given)


def _positive(kind: str, what: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        raise TypeError(f"{kind}: {what} is a number above 0, but {given!r} was given.")
    if not (math.isfinite(given) and float(given) > 0):
        raise ValueError(f"{kind}: {what} is a number above 0, but {given!r} was given.")
    return float(given)
