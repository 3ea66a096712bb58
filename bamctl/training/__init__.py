"""Short training runs of a network without and with attention, compared by paired statistics.

- `experiment`: `Experiment`, a comparison from start to end
- `config`: the configuration of a comparison, as a YAML file holds it
- `plan`, `minutes`: completion of a request to a whole configuration, also of one for minutes
- `arms`: the networks that are compared, and the controls
- `start`, `trunks`, `shared_trunks`: where arms start, and the part of the baseline's runs that all
  arms share, in this process or on an engine
- `loop`: one training run
- `side_by_side`: runs on the processes of this machine, or on a Ray cluster
- `looks`, `evidence`: a paired test that may be repeated, verdicts, and power
- `until`, `warnings`: when to stop adding seeds, and what spares wrong conclusions
- `run_folder`, `json_lines`, `lines`: files of the runs
- `result`, `curves`: accuracies, comparisons and learning curves
- `watching`, `devices`: progress events; devices and processes, by Accelerate
"""
