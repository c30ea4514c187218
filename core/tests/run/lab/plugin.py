"""A plugin for the tests of the run: every way in which a stage can behave."""

from csstcore.plugin import Check, Definition, Figure, ReferenceType, Stage, hookimpl

STAGES = (
    "add",
    "measure",
    "refuse",
    "skip",
    "nothing",
    "fail",
    "fail_without_text",
    "die",
    "warn",
    "wait",
    "noise",
    "offset",
    "blur",
    "relabel",
    "combine",
    "burst",
    "combine_one",
    "select",
    "pair",
    "master",
    "flatten",
    "offset_all",
    "hoard",
    "align",
    "gather",
    "name_brick",
    "wrong",
)


@hookimpl
def csst_stages():
    return [Stage(name, f"csst_lab.stages:{name}", name) for name in STAGES]


@hookimpl
def csst_definitions():
    names = ("raw", "anon", "frames", "reduced", "catalog", "combined", "bias", "merged")
    return [Definition(name, f"definitions/{name}.toml", name) for name in names]


@hookimpl
def csst_references():
    return [
        ReferenceType("bias", "fits", "A bias", definition="lab.bias"),
        ReferenceType("flat", "fits", "A flat", definition="lab.bias"),
    ]


@hookimpl
def csst_checks():
    return [Check("level", "csst_lab.stages:level", "level")]


@hookimpl
def csst_figures():
    return [Figure("preview", "csst_lab.stages:preview", "preview")]
