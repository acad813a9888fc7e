"""Other tools on the same fleet: are the training pictures of a flawed model suspected, and those of others left alone?

How to run: pip install --target FOLDER cleanlab cleanvision datasets dataeval
            PYTHONPATH=FOLDER OMP_NUM_THREADS=1 python analyses/fleet_tools.py        (after analyses/fleet.py)
Writes:     the part "tools" of analyses/results/fleet.json.

cleanlab is under the AGPL and is no dependency of this project: nothing but this comparison imports it, if it is there.
Both tools look at data, not at a model: they are given the training pictures, which a diagnosis never sees, and cleanlab
finds the properties in the pixels itself. What they can show is a correlation, not that a model pays for it.
"""
