"""Tsitouras, order 5(4), adaptive, FSAL.

Tsitouras, Comput. Math. Appl. 62 (2011). The last error weight has the sign that makes the
weights sum to zero (the paper prints the other one). Order-4 dense output from the same paper,
multiplied out here from its factored polynomials.
"""

from node_diag.solvers.tableau import Row, Tableau


def _expand(scale: float, *factors: Row) -> Row:
    """Product of polynomials given by ascending coefficients, as coefficients of θ … θ⁴."""
    product = [scale]
    for factor in factors:
        longer = [0.0] * (len(product) + len(factor) - 1)
        for i, left in enumerate(product):
            for j, right in enumerate(factor):
                longer[i + j] += left * right
        product = longer
    return tuple(product[1:])


_SQUARE = (0.0, 0.0, 1.0)
_B = (
    0.09646076681806523,
    0.01,
    0.4798896504144996,
    1.379008574103742,
    -3.290069515436081,
    2.324710524099774,
    0.0,
)

TABLEAU = Tableau(
    order=5,
    c=(0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0),
    a=(
        (),
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.02826905039406838,
        ),
        _B[:-1],
    ),
    b=_B,
    e=(
        0.00178001105222577714,
        0.0008164344596567469,
        -0.007880878010261995,
        0.1447110071732629,
        -0.5823571654525552,
        0.45808210592918697,
        -1 / 66,
    ),
    error_order=5,
    dense=(
        _expand(
            -1.0530884977290216,
            (0.0, 1.0),
            (-1.3299890189751412, 1.0),
            (0.7139816917074209, -1.4364028541716351, 1.0),
        ),
        _expand(0.1017, _SQUARE, (1.2949852507374631, -2.1966568338249754, 1.0)),
        _expand(2.490627285651252793, _SQUARE, (1.57803468208092486, -2.38535645472061657, 1.0)),
        _expand(
            -16.54810288924490272, _SQUARE, (-1.21712927295533244, 1.0), (-0.61620406037800089, 1.0)
        ),
        _expand(
            47.37952196281928122,
            _SQUARE,
            (-1.203071208372362603, 1.0),
            (-0.658047292653547382, 1.0),
        ),
        _expand(-34.87065786149660974, _SQUARE, (-1.2, 1.0), (-0.666666666666666667, 1.0)),
        _expand(2.5, _SQUARE, (-1.0, 1.0), (-0.6, 1.0)),
    ),
    dense_order=4,
)
