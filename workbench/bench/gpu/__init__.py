"""``workbench bench gpu``: checks and measures on one CUDA GPU in one call, into one record.

::

    sizes       how much is measured: all of it, or a rehearsal's worth
    machine     the GPU, its driver, clocks and versions
    bed         what sections share: models, one open engine, the time left
    sections    what is checked and measured, in which order, with how many seconds
    work        sections done in this process, as messages; ``worker`` is that process
    running     the call: workers, time, and what becomes of a section that fails
    record      the JSON file, written after every value
    tables      a record as tables; ``readme`` is the one in the README

The other files are one section each, or what a section computes with.
"""
