/// The page. Its script talks to the API next to it, wherever both are mounted.
let page = """
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>To do</title>
    <style>
    body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 36rem; padding: 0 1rem }
    ul { list-style: none; padding: 0 }
    li { display: flex; gap: .5rem; padding: .25rem 0 }
    li span { flex: 1 }
    li.done span { opacity: .5; text-decoration: line-through }
    form { display: flex; gap: .5rem }
    form input { flex: 1; font: inherit }
    #error { color: #b00 }
    </style>
    </head>
    <body>
    <h1>To do</h1>
    <form id="new"><input id="title" aria-label="What is to be done" required autofocus> <button>Add</button></form>
    <p id="error" role="alert"></p>
    <ul id="list"></ul>
    <script>
    const base = location.pathname.replace(/\\/?$/, '/') + 'todos';
    const list = document.getElementById('list');
    async function call(method, path, body) {
      const response = await fetch(base + path, {
        method, headers: body ? { 'Content-Type': 'application/json' } : {}, body: body && JSON.stringify(body)
      });
      document.getElementById('error').textContent = response.ok ? '' : 'That did not work: ' + response.status;
      return response.ok && response.status != 204 ? response.json() : null;
    }
    function show(todo) {
      const item = document.createElement('li');
      item.className = todo.isDone ? 'done' : '';
      const box = document.createElement('input');
      box.type = 'checkbox';
      box.checked = todo.isDone;
      box.onchange = async () => {
        const changed = await call('PATCH', '/' + todo.id, { isDone: box.checked });
        if (changed) item.className = changed.isDone ? 'done' : '';
      };
      const text = document.createElement('span');
      text.textContent = todo.title;
      const remove = document.createElement('button');
      remove.textContent = 'Remove';
      remove.onclick = async () => { await call('DELETE', '/' + todo.id); item.remove(); };
      item.append(box, text, remove);
      list.append(item);
    }
    document.getElementById('new').onsubmit = async event => {
      event.preventDefault();
      const title = document.getElementById('title');
      const todo = await call('POST', '', { title: title.value });
      if (todo) { show(todo); title.value = ''; }
    };
    call('GET', '').then(todos => { todos.forEach(show); document.body.dataset.ready = 'true'; });
    </script>
    </body>
    </html>

    """
