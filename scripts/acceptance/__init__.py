"""`scripts/gpu-acceptance`: what a gateway and its vLLM do on a machine, step by step, with a report.

`ground` starts the gateway, `load` asks it, `steps` are what is looked at, `report` writes it down.
"""
