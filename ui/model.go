package ui

import (
	"context"
	"sync"

	tea "charm.land/bubbletea/v2"

	"bottle-tui/bottles"
	"bottle-tui/themes"
)

type (
	updateMsg    bottles.Update
	terminalsMsg struct{}
)

type model struct {
	ctx, life context.Context
	workers   *sync.WaitGroup
	o         Options
	styles    *themes.Styles
}

func newModel(ctx, life context.Context, workers *sync.WaitGroup, o Options, styles *themes.Styles) *model {
	return &model{ctx: ctx, life: life, workers: workers, o: o, styles: styles}
}

func (m *model) Init() tea.Cmd { return nil }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if k, ok := msg.(tea.KeyPressMsg); ok && (k.String() == "q" || k.String() == "ctrl+c") {
		return m, tea.Quit
	}
	return m, nil
}

func (m *model) View() tea.View {
	v := tea.NewView(m.styles.Brand.Render("bottle-tui"))
	v.AltScreen = true
	return v
}
