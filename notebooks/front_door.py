# %% [markdown]
# # A front door, with the truth at hand
#
# A confounder that nobody recorded makes the naive difference wrong, here even in sign. The front door gets it right,
# and because this world is made of known probabilities we can check that it does.
#
# The numbers are the smoking example of Pearl, Glymour and Jewell (*Causal Inference in Statistics: A Primer*, table
# 3.1). Read X as a coarse treatment of an image, S as what the prompts say of it, Y as the label.

# %%
import matplotlib.pyplot as plt
import numpy as np

import causalvlm
from causalvlm.worlds.discrete import smoking

rng = np.random.default_rng(1)

# %% [markdown]
# ## The graph, and what it allows

# %%
graph = causalvlm.CausalGraph("X -> S -> Y; X <-> Y")
estimand = causalvlm.identify(graph, treatment="X", outcome="Y")
print(estimand.text())

# %% [markdown]
# ## 50,000 rows without the confounder

# %%
world = smoking()
table = world.sample(50_000, rng=rng)[["X", "S", "Y"]]
naive = table.groupby("X")["Y"].mean()
effect = causalvlm.estimate_effect(table, estimand, rng=rng)
truth = float(world.truth(1)[1] - world.truth(0)[1])
print(f"naive difference  {naive[1] - naive[0]:+.3f}")
print(f"front door        {effect.value:+.3f}  (95 % interval {effect.low:+.3f} to {effect.high:+.3f})")
print(f"truth             {truth:+.3f}")
if not effect.low <= truth <= effect.high:
    print("this draw is one of the five in a hundred whose interval misses the truth")

# %% [markdown]
# ## Can it be believed?
#
# Each refutation has a verdict. A leak of the confounder into the mediator would break the front door, and no data can
# rule it out: the last lines say how strong it would have to be.

# %%
for verdict in causalvlm.refute(effect, table, rng=rng):
    print(f"{verdict.name:24s} {verdict.outcome:13s} {verdict.reason}")

# %% [markdown]
# ## When the tool refuses

# %%
leaky = causalvlm.paper_scm("front_door", variant="E")
try:
    causalvlm.identify(leaky, treatment="X", outcome="Y")
except causalvlm.NotIdentifiedError as error:
    print(error)

# %%
figure, axes = plt.subplots(figsize=(5, 2), layout="constrained")
rows = {"naive": (naive[1] - naive[0], None), "front door": (effect.value, (effect.low, effect.high))}
for height, (value, interval) in enumerate(rows.values()):
    axes.plot(value, height, "o", color="C0")
    if interval is not None:
        axes.plot(interval, (height, height), color="C0")
axes.axvline(truth, color="C1", linestyle="--", label="truth")
axes.set_yticks(range(len(rows)), rows)
axes.set_xlabel("P(Y=1 | do(X=1)) - P(Y=1 | do(X=0))")
axes.set_ylim(-0.6, 1.6)
axes.legend()
plt.show()
