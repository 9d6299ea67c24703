module causeway

go 1.26.0
