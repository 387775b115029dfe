// Package ui is the screen: one root model that draws what the Supervisor says and asks it for what
// the operator wants.
//
// The road of the data: the Supervisor's updates and the terminals' notices are carried into the
// program by one relay; Update changes the model, View joins the lines that the panes keep. Neither
// does I/O: whatever may block is a tea.Cmd. Panes and dialogs, a folder each, are plain structs that
// draw themselves as lines of an exact width; they never act, but tell the root what the operator
// asked for.
package ui
