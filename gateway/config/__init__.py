"""Configuration: one YAML file, validated, frozen, read once by `app` and `cli` and by nobody else."""
