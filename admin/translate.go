package admin

import (
	"html"
	"html/template"
	"text/template/parse"
)

// translate writes the texts of a language into a page's templates, before they are first used, and the addresses that are always the
// same: what is left of {{.T "key"}} is the text itself. A page has hundreds of them, and each one looked up is a call by reflection.
func (u *ui) translate(page *template.Template, lang string) {
	for _, t := range page.Templates() {
		if t.Tree != nil && t.Tree.Root != nil {
			u.translateList(t.Tree.Root, lang)
		}
	}
}

func (u *ui) translateList(list *parse.ListNode, lang string) {
	if list == nil {
		return
	}
	for i, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			if text, ok := u.fixed(n.Pipe, lang); ok {
				list.Nodes[i] = &parse.TextNode{NodeType: parse.NodeText, Pos: n.Pos, Text: []byte(html.EscapeString(text))}
			}
		case *parse.IfNode:
			u.translateList(n.List, lang)
			u.translateList(n.ElseList, lang)
		case *parse.RangeNode:
			u.translateList(n.List, lang)
			u.translateList(n.ElseList, lang)
		case *parse.WithNode:
			u.translateList(n.List, lang)
			u.translateList(n.ElseList, lang)
		}
	}
}

// fixed is what a pipeline yields that nothing else decides than the language: {{.T "key"}}, {{$.T "key"}}, {{.Page.T "key"}},
// {{url "/path"}} and {{asset "name"}}.
func (u *ui) fixed(p *parse.PipeNode, lang string) (text string, ok bool) {
	if len(p.Decl) > 0 || len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 2 {
		return "", false
	}
	word, is := p.Cmds[0].Args[1].(*parse.StringNode)
	if !is {
		return "", false
	}
	switch f := p.Cmds[0].Args[0].(type) {
	case *parse.FieldNode:
		return u.textIn(lang, word.Text), f.Ident[len(f.Ident)-1] == "T"
	case *parse.VariableNode:
		return u.textIn(lang, word.Text), f.Ident[len(f.Ident)-1] == "T"
	case *parse.IdentifierNode:
		switch f.Ident {
		case "url":
			return u.url(word.Text), true
		case "asset":
			text, err := u.assetURL(word.Text)
			return text, err == nil // else the page says so when it is made
		}
	}
	return "", false
}
