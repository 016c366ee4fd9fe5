"""Measurement inside circuits: what a circuit does after it has measured, and what becomes of each shot.

A circuit whose measurements all come last is *terminal*: one state, of which outcomes are drawn. Any other is
*dynamic*: it is cut into unitary segments at its measurements (`program`), and shots follow branches (`branches`).
"""

from jaxsim.dynamic.branches import bit_probabilities as bit_probabilities
from jaxsim.dynamic.branches import check_distribution as check_distribution
from jaxsim.dynamic.branches import sample_dynamic as sample_dynamic
from jaxsim.dynamic.deferred import deferred as deferred
from jaxsim.dynamic.post_selection import PostSelected as PostSelected
from jaxsim.dynamic.post_selection import post_select as post_select
from jaxsim.dynamic.trajectories import sample_traced as sample_traced
from jaxsim.terminal import Terminal as Terminal
from jaxsim.terminal import split_terminal as split_terminal
from jaxsim.terminal import unmeasured as unmeasured
