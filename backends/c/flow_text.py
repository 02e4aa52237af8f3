"""C text of control flow, and of the functions around it that differ when there is any."""

from __future__ import annotations

PLAIN = {
    "@COUNT@": "sizeof model_schedule / sizeof model_schedule[0] - 1",
    "@FLOW@": "",
    "@SLOTS@": "",
    "@DO@": """\
static void model_do(const model_step *step, char *const *bases@TAKEN@, const model_pool *pool)
{
""",
    "@DONE@": "",
    "@RUN@": """\
    for (size_t i = 0; i < model_step_count; i++)
        model_do(&model_schedule[i], bases@GIVEN@, pool);
    return @STATUS@;
""",
    "@RUN_ONE@": """\
    model_do(&model_schedule[step], bases@GIVEN@, NULL);
    return 0;
""",
}
"""What stands in model.c in the place of each mark where steps only follow one another."""

FLOW = {
    "@COUNT@": "@TOP@",
    "@FLOW@": """\
/* Steps with bodies: `first` of such a step is its number here. The steps of bodies stand behind all others. */
static int model_range(size_t begin, size_t end, char **bases@TAKEN@, const model_pool *pool);

@FLOWS@
static int (*const model_flows[])(char **bases@TAKEN@, const model_pool *pool) = {@NAMES@};

""",
    "@SLOTS@": " + @SLOT_COUNT@",
    "@DO@": """\
static int model_do(const model_step *step, char **bases@TAKEN@, const model_pool *pool)
{
    if (step->function == NULL)
        return model_flows[step->first](bases@GIVEN@, pool);
""",
    "@DONE@": "    return 0;\n",
    "@RUN@": """\
    const int failed = model_range(0, model_step_count, bases@GIVEN@, pool);
    return failed != 0 ? failed : @STATUS@;
""",
    "@RUN_ONE@": "    return model_do(&model_schedule[step], bases@GIVEN@, NULL);\n",
}
"""The same where steps have bodies: what fails inside ends the run."""

RANGE = """\

static int model_range(size_t begin, size_t end, char **bases@TAKEN@, const model_pool *pool)
{
    int failed = 0;
    for (size_t i = begin; i < end && failed == 0; i++)
        failed = model_do(&model_schedule[i], bases@GIVEN@, pool);
    return failed;
}
"""
