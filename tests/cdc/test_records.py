"""Records from strangers: whatever stands where a value belongs, the answer is the value or one clear error."""

import math

import pytest

import cdc
from cdc.methods.registry import METHODS, method_from_record, method_record
from cdc.methods.schedule import TrainingConfig
from cdc.records import restore


@pytest.mark.parametrize("name", METHODS)
def test_the_settings_of_every_method_survive(name):
    config = cdc.method_config(name)
    assert method_from_record(method_record(config)) == config


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"name": "cdc", "evidence": {"sort": "exp"}}, "must hold only centre, kind, temperature; received sort"),
        ({"name": "cdc", "evidence": None}, "evidence of CDCConfig must be EvidenceFunction; received None"),
        ({"name": "cdc", "evidence": {"kind": ["exp"]}}, r"kind of EvidenceFunction must be str; received \['exp'\]"),
        ({"name": "cdc", "templates": "4"}, "templates of CDCConfig must be int; received '4'"),
        ({"name": "cdc", "templates": 1e9}, "templates of CDCConfig must be int; received 1000000000.0"),
        ({"name": "cdc", "templates": True}, "templates of CDCConfig must be int; received True"),
        ({"name": "cdc", "half_clean": 1}, "half_clean of CDCConfig must be bool; received 1"),
        ({"name": "cdc", "anchoring": math.nan}, "anchoring of CDCConfig must be float; received nan"),
        ({"name": "cdc", "anchoring": 10**400}, "anchoring of CDCConfig must be float; received 10000"),
        ({"name": ["cdc"]}, "method must be one of"),
    ],
)
def test_a_setting_of_another_type_is_one_clear_error(record, message):
    with pytest.raises(cdc.InputError, match=message):
        method_from_record(record)


def test_no_mapping_at_all():
    with pytest.raises(cdc.InputError, match="TrainingConfig must be given as its fields by name; received 3"):
        restore(TrainingConfig, 3)


def test_literals_unknown_and_missing_fields_and_texts_that_cannot_be_written():
    with pytest.raises(cdc.InputError, match=r"optimizer of TrainingConfig must be .*sgd.*; received 'lion'"):
        restore(TrainingConfig, {"optimizer": "lion"})
    with pytest.raises(cdc.InputError, match="Task must hold class_names, template, seed; received none of template"):
        restore(cdc.Task, {"class_names": ["dog"], "seed": 1})
    with pytest.raises(cdc.InputError, match="class_names of Task must be"):
        restore(cdc.Task, {"class_names": ["\ud800"], "template": "a {}.", "seed": 1})
    with pytest.raises(cdc.InputError, match="class_names of Task must be"):
        restore(cdc.Task, {"class_names": "dog", "template": "a {}.", "seed": 1})
