"""Runs engines on this box and measures them. Knows nothing of the gateway.

    gateway/app, gateway/cli
        │ client.EngineHost              (in the gateway's process; light imports)
        ▼ unix socket, protocol.py
    host.py ── fleet.py                  (a process of its own; outlives a gateway restart)
        ├── supervisor.py ── process.py  one engine process: effects, and the pure state machine
        │      ├── llama_cpp.py          how to launch that kind
        │      └── vllm.py ── guard.py   likewise; guard.py leaves no process of vLLM's behind
        └── attached.py                  servers that somebody else runs: watched, never killed
                │ HTTP on loopback, probe.py
                ▼
    llama/                               our llama.cpp server, one process per engine

    catalog.py, plan.py, pull.py         what can be run, what a pull of it amounts to, and the pull
    address.py, sources/                 where files come from: package indexes, Hugging Face hubs
    removal.py                           taking models off the box again
    modelfile.py                         whether a file can be run at all
    verify.py                            whether an installed model is unaltered
    hardware.py                          CPUs, memory, cards
    gpuwatch.py                          GPUs, followed from outside
        │ a line each second
        ▼
    gpureport.py ── nvml.py              asks NVIDIA's driver, in a process of its own; gpu.py: what it says
    toolchain.py, listeners.py           whether an engine can be compiled and loaded here; who has a port

Import `local_models.client`, `.address`, `.catalog`, `.pull`, `.removal`, `.modelfile`, `.verify`, `.hardware`,
`.gpu`, `.gpuwatch`, `.toolchain`, `.listeners` and `.types`; the rest is internal.
"""
