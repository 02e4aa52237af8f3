from dataclasses import dataclass
@dataclass(frozen=True)
class Tile:
    mr:int
    nv:int
D={"avx512":(14,2),"avx2":(6,2),"sse2":(4,2),"scalar":(4,2)}
L={"avx512":16,"avx2":8,"sse2":4,"scalar":1}
def choose_tile(isa,out_w,out_c,k):
    if out_w==1: return Tile(1,8)
    if out_w==7: return Tile(7,2)
    return Tile(*D[isa])
def choose_blocks(tile,out_h,out_w,out_c,k,row_bytes,kernel_h,stride_h):
    return max(1,min(out_h,4)) if out_w>7 else out_h,1000
