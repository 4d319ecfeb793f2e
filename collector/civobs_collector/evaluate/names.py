"""The names of the forms and of their columns, for the help as for the reading."""

from enum import StrEnum


class Form(StrEnum):
    """What the rows of a file mean."""

    ROSTER = "roster"
    ROSTER_PROBES = "roster-probes"
    COUNTS = "counts"
    TARGET = "target"
    THROUGHPUT = "throughput"


HEADINGS = {
    Form.ROSTER: "time,group,n_expected,n_up",
    Form.ROSTER_PROBES: "time,group,household,up",
    Form.COUNTS: "time,group,count",
    Form.TARGET: "time,network,country,target,layer,household,ok,failure",
    Form.THROUGHPUT: "test,arm,replicate,sample_s,bytes",
}
