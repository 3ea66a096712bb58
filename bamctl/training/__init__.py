"""Short training runs of a network without and with attention, compared by paired statistics.

- `experiment`: `Experiment`, a comparison from start to end
- `config`: the configuration of a comparison, as a YAML file holds it
- `plan`: completion of a request to a whole configuration
- `arms`: the networks that are compared, and the controls
- `loop`: one training run
- `evidence`: paired t tests with Holm's correction, and power
- `run_folder`, `json_lines`, `lines`: files of the runs
- `result`, `curves`: accuracies, comparisons and learning curves
- `watching`, `devices`: progress events; devices and processes, by Accelerate
"""
