package main

import "context"

// console is the admin web server of a node.
type console struct{}

func (c *console) shutdown(context.Context) {}

func (n *node) openConsole() error { return nil }
