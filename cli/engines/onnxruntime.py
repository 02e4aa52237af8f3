"""ONNX Runtime on the CPU, with inputs and outputs bound."""

from __future__ import annotations

from .holding import hold
from .job import Array, Bound, Job, installed

LIBRARY = "onnxruntime/capi/onnxruntime_pybind11_state*.so"


def open_model(job: Job) -> Bound:
    """Bind the inputs to a session."""
    hold(LIBRARY, job.isa)
    ort = installed("onnxruntime")
    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if job.threads:
        options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
    session = ort.InferenceSession(str(job.model), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    for name, array in job.inputs.items():
        binding.bind_cpu_input(name, array)
    names = [output.name for output in session.get_outputs()]
    for name in names:
        binding.bind_output(name)

    def results() -> dict[str, Array]:
        return dict(zip(names, binding.copy_outputs_to_cpu(), strict=True))

    return lambda: session.run_with_iobinding(binding), results
