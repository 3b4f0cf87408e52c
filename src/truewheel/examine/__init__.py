"""Reading what somebody else made: in locked-down children, into facts."""
