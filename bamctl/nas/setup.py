"""Set-up of a search: the network, the space, the costs and the data of a configuration."""

from dataclasses import dataclass

from bamctl.data.sets import Data
from bamctl.nas._space import Space
from bamctl.nas.config import SearchConfig
from bamctl.nas.costs import Costs
from bamctl.nas.goals import parse_goal
from bamctl.placement.budget import parse_limit
from bamctl.training.arms import check_answers
from bamctl.training.result import resolution
from bamctl.training.samples import check_data, load_data
from bamctl.trunk.traced import TracedNetwork

# The figures of every report, whatever the objectives.
ALWAYS_SHOWN = ("params", "macs")


@dataclass(frozen=True)
class SearchSetup:
    """A search before its first trial; a loop of one's own has no `data`."""

    config: SearchConfig
    data: Data | None
    subject: TracedNetwork
    space: Space
    costs: Costs

    @property
    def resolution(self) -> float:
        """The smallest difference of two values of the measure."""
        return resolution(self.config.training, self.data)


def set_up(config: SearchConfig, data: Data | None = None) -> SearchSetup:
    """Trace the network, and price every candidate; read the data unless they are passed.

    A loop of one's own has its own data.

    Raises:
        InputError: the configuration is inconsistent, or no candidate is within the budgets.
    """
    training = config.training
    goals = [parse_goal(each) for each in (*config.objectives, *ALWAYS_SHOWN)]
    budgets = {parse_goal(name): limit for name, limit in config.budget.items()}
    limits = {goal: parse_limit(goal.name, text) for goal, text in budgets.items()}
    if data is None and training.loop is None:
        data = load_data(training, training.data, training.task, device=training.device)
    if data is not None:
        training = check_data(training, data)
    subject = TracedNetwork.load(training)
    check_answers(training, subject.trace)
    space = Space(config.space, subject.trunk)
    costs = Costs(subject, space, goals, limits)
    costs.check_feasible()
    return SearchSetup(
        config.model_copy(update={"training": training}), data, subject, space, costs
    )
