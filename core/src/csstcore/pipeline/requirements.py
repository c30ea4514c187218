"""Check the distributions a pipeline requires."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from csstcore.pipeline.model import PipelineModel
from csstcore.plugin import Stage
from csstcore.plugins.registry import Registry


def check_requirements(
    model: PipelineModel, registry: Registry, own_distribution: str | None
) -> tuple[list[str], frozenset[str]]:
    """Compare ``[requires]`` with what is installed.

    Returns
    -------
    problems
        One line per distribution that is missing, too old, too new or not named.
    absent
        Namespaces that the pipeline uses and no plugin has: already reported, so that the
        stages of one missing plugin make one problem.
    """
    problems: list[str] = []
    installed = {plugin.namespace for plugin in registry.plugins}
    used = {stage.use.partition(".")[0] for stage in model.stage}
    used |= {name.partition(".")[0] for item in model.inputs.values() for name in item.definitions}
    for outputs in model.outputs.values():
        names = (outputs,) if isinstance(outputs, str) else outputs
        used |= {name.partition(".")[0] for name in names}
    absent = frozenset(used - installed)
    missing: list[str] = []
    for distribution, wanted in model.requires.items():
        try:
            specifier = SpecifierSet(wanted)
        except InvalidSpecifier:
            problems.append(f"requires {distribution}: {wanted!r} is no version range")
            continue
        try:
            found = version(distribution)
        except PackageNotFoundError:
            missing.append(f"{distribution}{wanted}")
            continue
        if not specifier.contains(found, prereleases=True):
            problems.append(f"requires {distribution} {wanted}; installed is {found}")
    if missing:
        lost = f", so nothing of {', '.join(sorted(absent))} is there" if absent else ""
        quoted = " ".join(f"'{item}'" for item in missing)
        problems.append(f"not installed: {', '.join(missing)}{lost}; pip install {quoted}")
    elif absent:
        problems.append(
            f"no installed plugin is called {', '.join(sorted(absent))}; "
            "name its distribution in [requires]"
        )
    problems += _unnamed(model, registry, own_distribution)
    return problems, absent


def _unnamed(model: PipelineModel, registry: Registry, own: str | None) -> list[str]:
    """Distributions whose stages are used but which ``[requires]`` does not name."""
    stages = registry.declared(Stage)
    named = {distribution.lower().replace("_", "-") for distribution in model.requires}
    distributions = {
        stages[stage.use].plugin.distribution for stage in model.stage if stage.use in stages
    }
    return [
        f"uses stages of {distribution}; name it in [requires]"
        for distribution in sorted(distributions)
        if distribution != own and distribution.lower().replace("_", "-") not in named
    ]
