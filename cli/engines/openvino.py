"""OpenVINO on the CPU, for latency, in float32 where the model is."""

from __future__ import annotations

from .job import Array, Bound, Job, installed


def open_model(job: Job) -> Bound:
    """Compile the model for the shapes of the inputs."""
    openvino = installed("openvino")
    core = openvino.Core()
    network = core.read_model(str(job.model))
    network.reshape({name: list(array.shape) for name, array in job.inputs.items()})
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    threads = {"INFERENCE_NUM_THREADS": job.threads} if job.threads else {}
    request = core.compile_model(network, "CPU", settings | threads).create_infer_request()
    for name, array in job.inputs.items():
        request.set_tensor(name, openvino.Tensor(array))
    outputs = list(network.outputs)

    def results() -> dict[str, Array]:
        return {one.get_any_name(): request.get_output_tensor(i).data.copy() for i, one in enumerate(outputs)}

    return request.infer, results
