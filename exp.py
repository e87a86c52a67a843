import torch, sys, math
torch.manual_seed(0)
dev="cuda" if torch.cuda.is_available() else "cpu"
def run(H,S,steps,remedy,N=20,T=200,lr=.01,l1=.002,l2=.004,noise=.3,sigma=.3):
    x=torch.linspace(-1,1,N,device=dev)[None,:,None].expand(S,N,1); y=x+sigma*torch.randn(S,N,1,device=dev)
    tx=torch.linspace(-1,1,T,device=dev)[None,:,None].expand(S,T,1); ty=tx+sigma*torch.randn(S,T,1,device=dev)
    u=lambda *s,f: ((torch.rand(*s,device=dev)*2-1)/math.sqrt(f)).requires_grad_()
    p=[u(S,1,H,f=1),u(S,1,H,f=1),u(S,H,H,f=H),u(S,1,H,f=H),u(S,H,1,f=H),u(S,1,1,f=H)]
    opt=torch.optim.Adam(p,lr=lr)
    def net(x,d):
        h=torch.baddbmm(p[1],x,p[0]); 
        if d: h=h*(torch.rand_like(h)>.5)*2
        h=h.relu(); h=torch.baddbmm(p[3],h,p[2])
        if d: h=h*(torch.rand_like(h)>.5)*2
        return torch.baddbmm(p[5],h.relu(),p[4])
    tr,te=[],[]
    for i in range(steps):
        with torch.no_grad():
            te.append((net(tx,0)-ty).square().mean((1,2))); tr.append((net(x,0)-y).square().mean((1,2)))
        xi=x+noise*torch.randn_like(x) if remedy=="noise" else x
        l=(net(xi,remedy=="dropout")-y).square().mean((1,2)).sum()
        if remedy=="l1": l=l+l1*sum(q.abs().sum() for q in p)
        if remedy=="l2": l=l+l2*sum(q.square().sum() for q in p)
        opt.zero_grad(); l.backward(); opt.step()
    return torch.stack(tr),torch.stack(te)
for N in (20,):
  for H in (100,):
    base=None
    for r in ("plain","dropout","l1","l2","noise"):
        tr,te=run(H,16,401,r,N=N)
        m=te[-1]
        if r=="plain": base=m
        print(N,H,r,"train %.4f"%tr[-1].mean(),"test end %.4f sd %.4f"%(m.mean(),m.std()),"t400 %.4f"%te[-1].mean(),"best of mean %.4f at %d"%(te.mean(1).min(),te.mean(1).argmin()+1),"worse than plain share unpaired", flush=True)
