"""Potential, deflection and Hessian of every profile, as printed, with a hundred digits."""

import mpmath as mp

_DIGITS = 120


def exact(name, x, y, parameters):
    """Return ``psi, alpha_x, alpha_y, psi_xx, psi_xy, psi_yy`` at a point from the centre."""
    with mp.workdps(_DIGITS):
        p = {k: v if k == "m" else mp.mpf(v) for k, v in parameters.items()}
        z = mp.mpc(x, y)

        def alpha(z):
            return FORMULAS[name](z, p)[1]

        step = abs(z) * mp.mpf(10) ** -35
        dx = (alpha(z + step) - alpha(z - step)) / (2 * step)
        dy = (alpha(z + 1j * step) - alpha(z - 1j * step)) / (2 * step)
        psi, at = FORMULAS[name](z, p)
        return psi, at.real, at.imag, dx.real, dx.imag, dy.imag


def _radial(z, alpha):
    return (mp.conj(z) * alpha).real


def _point_mass(z, p):
    return p["theta_E"] ** 2 * mp.log(abs(z)), p["theta_E"] ** 2 / mp.conj(z)


def _sis(z, p):
    return p["theta_E"] * abs(z), p["theta_E"] * z / abs(z)


def _epl(z, p):
    # Tessore & Metcalf 2015, eq. 13
    gamma, e = p.get("gamma", mp.mpf(2)), mp.mpc(p["e1"], p["e2"])
    t, s, w = gamma - 1, mp.sqrt(1 - abs(e) ** 2), z - e * mp.conj(z)
    series = mp.hyp2f1(1, t / 2, 2 - t / 2, -mp.conj(e) * (w / abs(w)) ** 2)
    alpha = w * (p["theta_E"] * s / abs(w)) ** t * series
    return _radial(z, alpha) / (3 - gamma), alpha


def _nie(z, p):
    # Keeton & Kochanek 1998, eq. 6-8
    e, theta_E, core = mp.mpc(p["e1"], p["e2"]), p["theta_E"], p["s_scale"]
    s, w = mp.sqrt(1 - abs(e) ** 2), z - e * mp.conj(z)
    radius = mp.sqrt(abs(w) ** 2 + (s * core) ** 2)
    v = w / (radius + s * core)
    root = mp.sqrt(mp.conj(e)) * v
    alpha = theta_E * s * v * (mp.atan(root) / root if root else 1)
    square = abs(z) ** 2 + 2 * core / s * (radius + core / s * (1 + abs(e) ** 2))
    return _radial(z, alpha) - theta_E * core * mp.log(square) / 2, alpha


def _halo(x):
    s = mp.sqrt(abs(1 - x * x))
    return (mp.atanh(s) if x < 1 else mp.atan(s)) / s if s else mp.mpf(1)


def _nfw(z, p):
    x, scale = abs(z) / p["Rs"], p["alpha_Rs"] / (p["Rs"] * (1 - mp.log(2)))
    F = _halo(x)
    psi = scale * p["Rs"] ** 2 / 2 * (mp.log(x / 2) ** 2 - (1 - x * x) * F**2)
    return psi, z * scale * (mp.log(x / 2) + F) / x**2


def _tnfw(z, p):
    # Baltz, Marshall & Oguri 2009, appendix A
    x, tau = abs(z) / p["Rs"], p["r_trunc"] / p["Rs"]
    if tau > mp.mpf(10) ** 30 * max(x, 1):
        return _nfw(z, p)
    scale = p["alpha_Rs"] / (p["Rs"] * (1 - mp.log(2))) * (tau / (1 + tau**2)) ** 2
    u, t2, q, F = x * x, tau**2, mp.sqrt(tau**2 + x * x), _halo(x)
    L = mp.log(x / (tau + q))
    mass = (t2 - 1 + 2 * u) * F + tau * mp.pi + (t2 - 1) * mp.log(tau)
    mass += q * (-mp.pi + (t2 - 1) / tau * L)
    psi = 2 * mp.pi * (tau - q + tau * mp.log(tau + q)) + 2 * (t2 - 1) / tau * q * L
    psi += (t2 - 1) * L**2 + 4 * (u - 1) * F - (t2 - 1) * (1 - u) * F**2
    psi += 2 * ((t2 - 1) * mp.log(tau) - t2 - 1) * mp.log(x)
    psi -= (t2 - 1) * mp.log(tau) * mp.log(4 * tau) + 2 * mp.log(tau / 2)
    psi += 2 * tau * (tau - mp.pi) * mp.log(2 * tau)
    return scale * p["Rs"] ** 2 * psi / 2, z * scale * mass / u


def _line(z, p):
    if not p["half_length"]:
        return _point_mass(z, p)
    turn, half = mp.expj(p["phi"]), p["half_length"]
    w, weight = z / turn, p["theta_E"] ** 2 / (2 * half)
    alpha = weight * mp.log((w + half) / (w - half))
    psi = (w + half) * mp.log(w + half) - (w - half) * mp.log(w - half) - 2 * half
    return weight * psi.real, mp.conj(alpha) * turn


def _multipole(z, p):
    m, a, r, n = p["m"], p["a_m"], abs(z), z / abs(z)
    angle = mp.arg(z) - p["phi_m"]
    if m == 1:
        logarithm = mp.log(r / p["r_E"])
        alpha = a / 2 * (mp.expj(p["phi_m"]) * logarithm + mp.cos(angle) * n)
        return a / 2 * r * logarithm * mp.cos(angle), alpha
    a = a / (1 - m * m)
    return a * r * mp.cos(m * angle), a * n * mp.mpc(mp.cos(m * angle), -m * mp.sin(m * angle))


def _shear(z, p):
    alpha = mp.mpc(p["gamma1"], p["gamma2"]) * mp.conj(z)
    return _radial(z, alpha) / 2, alpha


def _sheet(z, p):
    return p["kappa"] * abs(z) ** 2 / 2, p["kappa"] * z


#: Potential and complex deflection at a complex position from the centre.
FORMULAS = {
    "PointMass": _point_mass,
    "SIS": _sis,
    "SIE": _epl,
    "EPL": _epl,
    "NIE": _nie,
    "NFW": _nfw,
    "TNFW": _tnfw,
    "UniformLine": _line,
    "Multipole": _multipole,
    "Shear": _shear,
    "ConvergenceSheet": _sheet,
}
