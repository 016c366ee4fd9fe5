"""Classical bits: registers, conditions, the methods that measure, and circuits that measure at the end."""
# Errors are provoked on purpose:
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import copy
import itertools
import json
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxsim as js
from jaxsim import Circuit, Parameter, Z, classical
from jaxsim.classical import Bit, Comparison, Condition, Register
from jaxsim.dynamic import split_terminal

KEY = jax.random.key(3)
REG = Register("c", 3)


def everything() -> tuple[Circuit, Register, Register]:
    """A circuit with all there is."""
    circuit = Circuit(3)
    c, flag = circuit.register("c", 2), circuit.register("flag", 1)
    circuit.h(0).measure(0, c[0]).barrier().delay(100, [0, 1], "ns").reset(0)
    with circuit.if_(c[0]):
        circuit.rx(0.3, 1)
        with circuit.if_(c == 2):
            circuit.ry(2 * Parameter("a"), 2)
        with circuit.else_():
            circuit.unitary([[0, 1], [1, 0]], 1)
    with circuit.while_(~flag[0] & (c != 3), max_iterations=4):
        circuit.h(0).measure(0, flag)
    return circuit.measure([1, 2]), c, flag


# registers and conditions -----------------------------------------------------------------------------------


def test_registers_are_sequences_of_bits():
    assert list(REG) == [REG[0], REG[1], REG[2]] == REG[:] == [REG[-3], REG[1], REG[-1]]
    assert REG[1] == Bit("c", 1) and REG[1] in REG and Bit("c", 3) not in REG and Bit("d", 0) not in REG
    assert REG == Register("c", 3) != Register("c", 2)
    assert hash(REG) == hash(Register("c", 3))
    assert [*Register("empty", 0)] == []
    with pytest.raises(IndexError, match=r"'c' has 3 bits, so there is no c\[3\]"):
        REG[3]


def test_conditions_are_what_python_says_of_integers():
    """Every comparison with every number, and combinations, at every value of the register."""
    c = REG
    bits = np.array(list(itertools.product([False, True], repeat=3)))[:, ::-1]
    values = bits @ (1 << np.arange(3))

    def truth(condition: Condition) -> np.ndarray:
        return np.broadcast_to(condition.evaluate(lambda bit: bits[:, bit.index]), len(bits))

    for k in range(8):
        for condition, expected in [
            (c == k, values == k),
            (c != k, values != k),
            (c < k, values < k),
            (c <= k, values <= k),
            (c > k, values > k),
            (c >= k, values >= k),
            ((c[0] & ~c[1]) | (c == k), (bits[:, 0] & ~bits[:, 1]) | (values == k)),
            (~(c[2] ^ (c > k)), ~(bits[:, 2] ^ (values > k))),
        ]:
            np.testing.assert_array_equal(truth(condition), expected, err_msg=str(condition))
            assert classical.from_json(json.loads(json.dumps(classical.to_json(condition)))) == condition
            assert pickle.loads(pickle.dumps(condition)) == condition
    assert (c[0] == 1) is c[0] or (c[0] == 1) == c[0]
    assert (c[0] == 0) == ~c[0] == (c[0] != 1)
    assert ~~(c[0] & c[1]) == (c[0] & c[1])


def test_conditions_have_no_value_yet():
    with pytest.raises(TypeError, match=r"c\[0\] has no value while the circuit is built"):
        bool(REG[0])
    with pytest.raises(TypeError, match="write &"):
        _ = REG[0] and REG[1]
    with pytest.raises(TypeError, match="no value"):
        _ = 0 < REG < 3
    with pytest.raises(ValueError, match="values 0 to 7, but is compared with 8"):
        _ = REG <= 8
    with pytest.raises(ValueError, match="0 or 1, so it is never 2"):
        _ = REG[0] != 2


def test_conditions_of_other_bits():
    names = {REG[0]: Bit("d", 5)}
    assert (REG[0] & REG[1]).renamed(names) == (Bit("d", 5) & REG[1])
    assert (REG == 5).renamed(names) == Comparison("==", [Bit("d", 5), REG[1], REG[2]], 5)
    assert str((REG == 5).renamed(names)) == "[d[5], c[1], c[2]] == 5"
    assert (REG == 5).bits == tuple(REG)


@pytest.mark.parametrize(
    "data", [["bit", "c"], ["bit", 1, 0], ["and", ["bit", "c", 0]], ["==", [1], 0], 3, ["==", [], 2]]
)
def test_damaged_conditions_are_refused(data):
    with pytest.raises(ValueError, match="a condition is a list"):
        classical.from_json(data)


# methods ----------------------------------------------------------------------------------------------------


def test_measure_takes_bits_in_many_forms():
    circuit = Circuit(4)
    a, b = circuit.register("a", 1), circuit.register("b", 3)
    circuit.measure(0, a).measure([1, 2], b[:2]).measure(3, 3).measure([0, 1], [a[0], 2])
    assert [i.bits[0] for i in circuit.instructions] == [a[0], b[0], b[1], b[2], a[0], b[1]]
    assert circuit.num_bits == 4 and circuit.registers == (a, b)
    assert circuit.register("b") == b


def test_measure_without_bits_extends_a_register():
    circuit = Circuit(3).measure(2).measure([0, 1])
    assert circuit.registers == (Register("meas", 3),)
    assert [(i.wires[0], i.bits[0].index) for i in circuit.instructions] == [(2, 0), (0, 1), (1, 2)]
    first = circuit.register("last", 1)
    assert circuit.measure(0).registers == (Register("meas", 4), first)
    with pytest.raises(ValueError, match="'meas' is taken by a register of 4 bits"):
        circuit.measure_all()
    assert circuit.measure_all("all").registers[-1] == Register("all", 3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda c, r: c.measure(0, Register("z", 1)), r"z\[0\] is no bit of this circuit: .* r of 2 bits"),
        (lambda c, r: c.measure(0, Bit("r", 2)), r"r\[2\] is no bit of this circuit"),
        (lambda c, r: c.measure([0, 1], r[0]), "2 wires and 1 bit were given"),
        (lambda c, r: c.measure([0, 1], [r[0], r[0]]), "names a bit twice"),
        (lambda c, r: c.measure([0, 0], r), "wire 0 occurs twice"),
        (lambda c, r: c.measure(2, r[0]), "wire 2 is out of range for a circuit of 2 qubits"),
        (lambda c, r: c.measure(0, 7), "there is no bit 7"),
        (lambda c, r: c.measure(0, "r"), "bits are a register, a bit"),
        (lambda c, r: c.measure(0, True), "bits are a register, a bit"),
        (lambda c, r: c.register("r", 2), "the name 'r' is taken by a register of 2 bits"),
        (lambda c, r: c.register("q"), "there is no register 'q' to return"),
        (lambda c, r: c.register("", 1), "a non-empty string"),
        (lambda c, r: c.register("q", -1), "at least 0"),
        (lambda c, r: c.register("q", 1.0), "its size is an integer"),
        (lambda c, r: c.reset(5), "reset: wire 5 is out of range"),
        (lambda c, r: c.barrier(0, 0), "barrier: wire 0 occurs twice"),
        (lambda c, r: c.delay(-1, 0), "a duration is a finite number >= 0"),
        (lambda c, r: c.delay("1", 0), "delay takes a duration as a number"),
        (lambda c, r: c.delay(1, 0, "h"), "the unit is one of dt, ps"),
        (lambda c, r: c.if_(True), r"True was given; whether two bits are equal is ~\(a \^ b\)"),
        (lambda c, r: c.if_(r), "compare it with a number: register 'r' == 3"),
        (lambda c, r: c.if_(Register("z", 1) == 0), r"if_: z\[0\] is no bit of this circuit"),
        (lambda c, r: c.if_(r[0], None, Circuit(1)), "not what to do if the condition holds"),
        (lambda c, r: c.if_(r[0], "x"), "if_ takes a Circuit, but a str was given"),
        (lambda c, r: c.else_(), "else_ follows directly on a with-block of if_"),
        (lambda c, r: c.while_(r[0]), "while_ needs a bound: give max_iterations"),
        (lambda c, r: c.while_(r[0], max_iterations=0), "max_iterations is at least 1"),
        (lambda c, r: c.while_(r[0], max_iterations=2.5), "max_iterations as an integer"),
        (lambda c, r: c.for_(range(2), "x"), "for_ takes a Circuit, but a str was given"),
        (lambda c, r: c.if_(r[0], Circuit(1).initialize([1, 0])), "stands in no block"),
        (lambda c, r: c.compose(_with("r", 3)), "has 3 bits there and 2 bits here"),
        (lambda c, r: c.compose(_with("s", 2), bits=r[0]), "names 1 bit for a circuit of 2 bits"),
        (lambda c, r: c.measure(0, r[0]).inverse(), "inverse: the circuit has measure, which no gate undoes"),
        (lambda c, r: c.if_(r[0], Circuit(1).x(0)).power(-1), "inverse: the circuit has if_else"),
    ],
)  # fmt: skip
def test_errors_are_sentences(call, message):
    circuit = Circuit(2)
    register = circuit.register("r", 2)
    with pytest.raises((TypeError, ValueError), match=message):
        call(circuit, register)


def _with(name: str, size: int) -> Circuit:
    circuit = Circuit(1)
    circuit.register(name, size)
    return circuit


def test_a_block_that_fails_leaves_no_trace():
    circuit, c, _ = everything()
    before = circuit.to_json()
    with pytest.raises(ValueError, match="out of range"), circuit.if_(c[0]):
        circuit.rx(Parameter("new"), 0).diagonal([1, 1j], 0).measure(0).cx(0, 7)
    assert circuit.to_json() == before
    with circuit.if_(c[0]), pytest.raises(ValueError, match="a block of if_ or while_ is open"):
        circuit.copy()


def test_if_takes_circuits_too():
    written, given = Circuit(2), Circuit(2)
    for circuit in (written, given):
        circuit.register("r", 1)
        circuit.h(0).measure(0, 0)
    r = given.register("r")
    with written.if_(r[0]):
        written.rx(0.1, 1)
    with written.else_():
        written.rx(0.2, 1)
    with written.while_(r == 1, max_iterations=3):
        written.h(0).measure(0, r)
    given.if_((r[0], 1), Circuit(2).rx(0.1, 1), Circuit(2).rx(0.2, 1))
    given.while_(r == 1, Circuit(2).compose(_measuring(r)), max_iterations=3)
    assert given == written
    with pytest.raises(ValueError, match="that has no else_ yet"):
        given.else_()


def test_for_is_a_loop_in_python():
    by_hand, by_function, by_circuit, nothing = (Circuit(2) for _ in range(4))
    for circuit in (by_hand, by_function, by_circuit):
        circuit.register("r", 1)
    for k in (3, 1, 2):
        by_hand.rx(0.1 * k, 0).h(0).measure(0, by_hand.register("r"))
    r = by_hand.register("r")
    by_function.for_((3, 1, 2), lambda k: Circuit(2).rx(0.1 * k, 0).compose(_measuring(r)))
    assert by_function == by_hand
    body = Circuit(2).cx(0, 1).delay(20, 1).compose(_measuring(r))
    by_circuit.for_(range(2), body)
    assert [i.gate for i in by_circuit.instructions] == ["cx", "delay", "h", "measure"] * 2
    assert nothing.for_([], body) == Circuit(2)


def _measuring(r: Register) -> Circuit:
    circuit = Circuit(1).h(0)
    return circuit.measure(0, circuit.register(r.name, r.size))


# circuits from circuits -------------------------------------------------------------------------------------


def test_everything_survives():
    """Copies, pickles, JSON, a pytree's round trip, bind; the structure is one object."""
    circuit, *_ = everything()
    for same in (
        circuit.copy(),
        copy.deepcopy(circuit),
        pickle.loads(pickle.dumps(circuit)),
        Circuit.from_json(circuit.to_json()),
        jax.tree.map(lambda a: a, circuit),
        Circuit(3).compose(circuit),
        Circuit(3) + circuit,
        circuit.remap([0, 1, 2]),
        circuit.repeat(1),
    ):
        assert same == circuit and same.structure is circuit.structure
        assert same.registers == circuit.registers and same.num_bits == 5
    assert json.loads(circuit.to_json())["version"] == 2
    assert json.loads(Circuit(1).x(0).to_json())["version"] == 1
    assert circuit.parameters == (Parameter("a"),)
    bound = circuit.bind([0.25])
    assert not bound.parameters and bound.angles.tolist() == [0.3, 0.5]
    assert bound != circuit != Circuit(3)


def test_counting():
    circuit, *_ = everything()
    assert circuit.count_gates() == {
        "h": 2, "measure": 4, "barrier": 1, "delay": 2, "reset": 1,
        "if_else": 2, "rx": 1, "ry": 1, "unitary": 1, "while_loop": 1,
    }  # fmt: skip
    assert "3 qubits, 5 bits, 16 gates" in repr(circuit)
    chain = Circuit(2)
    r = chain.register("r", 1)
    chain.h(0).measure(0, r)
    assert chain.depth() == 2
    assert chain.barrier().delay(3, 1).depth() == 2
    with chain.if_(r[0]):
        chain.x(1).y(1)
    assert chain.depth() == 4  # the condition waits for the bit


def test_compose_finds_registers_by_name():
    part = Circuit(1)
    a, b = part.register("a", 1), part.register("b", 2)
    part.measure(0, b[1])
    with part.if_((b == 2) & ~a[0]):
        part.x(0)
    whole = Circuit(2)
    whole.register("b", 2)
    assert whole.compose(part, [1]).registers == (Register("b", 2), Register("a", 1))
    other = Circuit(1)
    wide = other.register("wide", 4)
    other.compose(part, bits=wide[1:])
    measure, block = other.instructions
    assert other.registers == (wide,) and measure.bits == (wide[3],)
    assert block.condition == (Comparison("==", [wide[2], wide[3]], 2) & ~wide[1])
    assert part.repeat(3).registers == part.registers == part.repeat(0).registers


def test_barriers_have_inverses():
    assert Circuit(2).s(0).barrier().delay(3, 1).inverse() == Circuit(2).delay(3, 1).barrier().sdg(0)


def test_gates_and_preparations_around_measurements():
    assert len(Circuit(1).measure(0).x(0)) == 2
    assert len(Circuit(2).barrier().delay(1, 0).initialize([1, 0, 0, 0])) == 3
    with pytest.raises(ValueError, match="wire 0 has been acted on already"):
        Circuit(1).measure(0).initialize([1, 0])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"bits": [["c", 9]]}, r"c\[9\] is no bit of this circuit"),
        ({"bits": [["c"]]}, "1 wire and 0 bits"),
        ({"bits": "c"}, "'bits' must be of type list"),
        ({"wires": 0}, "'wires' must be of type list"),
        ({"angles": []}, "measure has bits, gate, wires, but here"),
        ({"gate": "reset"}, "reset has gate, wires, but here"),
        ({"gate": "while_loop"}, "while_loop has blocks, condition, gate, limit"),
    ],
)
def test_damaged_json_is_refused(change, message):
    circuit = Circuit(1)
    circuit.measure(0, circuit.register("c", 1))
    data = json.loads(circuit.to_json())
    data["gates"][0] |= change
    with pytest.raises(ValueError, match=message):
        Circuit.from_json(json.dumps(data))
    with pytest.raises(ValueError, match="registers"):
        Circuit.from_json(circuit.to_json().replace('[["c", 1]]', "3"))


# circuits that measure at the end ---------------------------------------------------------------------------


def test_terminal_measurements_are_found():
    circuit = Circuit(3)
    c = circuit.register("c", 3)
    circuit.reset([0, 1]).h(0).measure(0, c[2]).barrier().cx(1, 2).measure(1, c[0]).measure(0, c[0])
    gates, wires, bits = split_terminal(circuit) or pytest.fail("taken for a dynamic circuit")
    assert gates == Circuit(3).h(0).cx(1, 2)
    assert dict(zip(bits, wires)) == {2: 0, 0: 0}  # the last write wins
    for dynamic in (
        Circuit(1).measure(0).x(0),
        Circuit(1).h(0).reset(0),
        Circuit(1).measure(0).reset(0),
        everything()[0],
    ):
        assert split_terminal(dynamic) is None
    assert split_terminal(Circuit(1).reset(0), fresh=False) is None
    plain = Circuit(2).h(0)
    assert split_terminal(plain) == (plain, (), ())


def test_shots_of_a_terminal_circuit_are_those_of_its_qubits():
    gates = Circuit(3).ry([0.4, 1.1, 2.0], range(3)).cx(0, 1)
    measured = gates.copy()
    a, b = measured.register("a", 2), measured.register("b", 3)
    measured.measure([2, 0], [a[0], b[1]])
    qubits = np.asarray(js.sample(gates, KEY, 500))
    expected = np.zeros((500, 5), np.uint8)
    expected[:, [0, 3]] = qubits[:, [2, 0]]
    np.testing.assert_array_equal(js.sample(measured, KEY, 500), expected)
    np.testing.assert_array_equal(js.sample(measured, KEY, 500, [1]), qubits[:, [1]])
    np.testing.assert_array_equal(jax.jit(lambda k: js.sample(measured, k, 500))(KEY), expected)
    p = np.asarray(js.probabilities(gates, [2, 0]))
    q = np.zeros((2,) * 5)
    q[0, [[0, 0], [1, 1]], 0, 0, [[0, 1], [0, 1]]] = p.reshape(2, 2)  # axes are bits 4, 3, 2, 1, 0
    np.testing.assert_allclose(js.probabilities(measured), q.reshape(-1), atol=1e-7)
    np.testing.assert_allclose(js.probabilities(measured, [2, 0]), p, atol=1e-7)
    np.testing.assert_array_equal(js.statevector(measured), js.statevector(gates))
    assert js.expectation(measured, Z(1)) == js.expectation(gates, Z(1))
    with pytest.raises(ValueError, match="a circuit that measures or resets has no matrix"):
        js.unitary(measured)


def test_counts_have_the_keys_of_qiskit():
    circuit = Circuit(3).x(0)
    a, b = circuit.register("a", 1), circuit.register("b", 2)
    circuit.measure(0, b[1]).measure(1, a)
    assert js.counts(circuit.measure_all(), KEY, 50) == {"001 10 0": 50}
    assert js.counts(circuit, KEY, 50, [0, 1]) == {"01": 50}
    assert js.counts(Circuit(1).x(0).measure_all(), KEY, 7) == {"1": 7}
    wide = Circuit(1).x(0)
    wide.measure(0, wide.register("wide", 70)[69])
    assert js.counts(wide, KEY, 7) == {"1" + 69 * "0": 7}
    with pytest.raises(ValueError, match="the distribution of 70 bits is too large"):
        js.probabilities(wide)


def test_derivatives_before_a_measurement():
    def circuit(t):
        return Circuit(2).ry(t, 0).cx(0, 1).measure_all()

    energy = jax.grad(lambda t: js.expectation(circuit(t), Z(1)))(0.3)
    np.testing.assert_allclose(energy, -np.sin(0.3), atol=1e-6)
    p = jax.jacobian(lambda t: js.probabilities(circuit(t)))(jnp.float32(0.3))
    np.testing.assert_allclose(p, np.array([-1, 0, 0, 1]) * np.sin(0.3) / 2, atol=1e-6)
