"""Short training runs of a network without and with attention, compared by paired statistics.

- `experiment`: `Experiment`, a comparison from start to end
- `config`: what a comparison is made of; a YAML file repeats it
- `plan`: from a request to a configuration with every number in it
- `arms`: the networks that are compared, and the controls
- `loop`: one training run
- `evidence`: paired t tests with Holm's correction, and power
- `run_folder`, `json_lines`, `lines`: what is kept of the runs
- `result`, `curves`: accuracies, comparisons and learning curves
- `watching`, `devices`: progress events; devices and processes, by Accelerate
"""
